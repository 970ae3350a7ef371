"""Stands for your own training: writes data, a model and a request into the folder `own_model`.

The data are scikit-learn's digits, of which 40 were given a wrong label; the request is to forget those. Nothing
of unweave is used here: plain torch, SGD with momentum .9 at rate .05, batches of 64, 20 epochs.
"""

from pathlib import Path

import numpy as np
import torch
from net import make
from sklearn.datasets import load_digits

OUT = Path("own_model")
EPOCHS, RATE, BATCH, WRONG = 20, 0.05, 64, 40


def main() -> None:
    """Make everything."""
    OUT.mkdir(exist_ok=True)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8).astype(np.float32)
    order = rng.permutation(len(y))
    train, test = order[400:], order[:400]
    labels = y.astype(np.int64)
    wrong = rng.choice(train, WRONG, replace=False)
    labels[wrong] = (labels[wrong] + rng.integers(1, 10, WRONG)) % 10
    np.savez(
        OUT / "data.npz",
        x_train=x[train], y_train=labels[train], ids_train=train,
        x_test=x[test], y_test=y[test], ids_test=test,
    )  # fmt: skip
    (OUT / "request.csv").write_text("id\n" + "\n".join(str(one) for one in sorted(wrong)) + "\n")
    model = make((8, 8), 10)
    step = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
    features, targets = torch.from_numpy(x[train]), torch.from_numpy(labels[train])
    for _ in range(EPOCHS):
        for some in torch.randperm(len(train)).split(BATCH):
            step.zero_grad()
            torch.nn.functional.cross_entropy(model(features[some]), targets[some]).backward()
            step.step()
    torch.save(model.state_dict(), OUT / "model.pt")
    print(f"{OUT}: data.npz, model.pt, and request.csv with {WRONG} ids")


if __name__ == "__main__":
    main()
