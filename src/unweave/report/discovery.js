// Collects the ids that a person confirms, one a line: what `--confirmed` and `forget.ids` read.
(function () {
  "use strict";
  const choices = [...document.querySelectorAll("fieldset[data-id]")];
  const text = document.getElementById("confirmed");
  const count = document.getElementById("count");
  function chosen(answer) {
    return choices.filter((one) => one.querySelector("input:checked")?.value === answer);
  }
  function show() {
    const ids = chosen("yes").map((one) => one.dataset.id);
    text.value = ids.map((id) => id + "\n").join("");
    const left = choices.length - ids.length - chosen("no").length;
    count.textContent = `${ids.length} confirmed, ${chosen("no").length} rejected, ${left} open`;
  }
  document.addEventListener("change", show);
  document.getElementById("download").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text.value], { type: "text/plain" }));
    link.download = "confirmed.txt";
    link.click();
    URL.revokeObjectURL(link.href);
  });
  document.getElementById("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text.value);
    } catch {
      text.select(); // a page from a file may not write to the clipboard everywhere
    }
  });
  show();
})();
