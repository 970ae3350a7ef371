// Collects the ids that a person confirms and rejects, one a line: what `--confirmed` and `--rejected` read.
(function () {
  "use strict";
  const choices = [...document.querySelectorAll("fieldset[data-id]")];
  const texts = { yes: document.getElementById("confirmed"), no: document.getElementById("rejected") };
  const count = document.getElementById("count");
  // An id of several lines would be several ids: then the list is CSV with a column id.
  function listed(ids) {
    if (!ids.some((id) => /[\r\n]/.test(id))) return ids.map((id) => id + "\n").join("");
    return ["id", ...ids.map((id) => `"${id.replaceAll('"', '""')}"`)].join("\n") + "\n";
  }
  function show() {
    const ids = { yes: [], no: [] };
    for (const one of choices) ids[one.querySelector("input:checked")?.value]?.push(one.dataset.id);
    for (const answer of ["yes", "no"]) texts[answer].value = listed(ids[answer]);
    const left = choices.length - ids.yes.length - ids.no.length;
    count.textContent = `${ids.yes.length} confirmed, ${ids.no.length} rejected, ${left} open`;
  }
  function save(name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([document.getElementById(name).value], { type: "text/plain" }));
    link.download = `${name}.txt`;
    link.click();
    URL.revokeObjectURL(link.href);
  }
  async function copy(name) {
    const text = document.getElementById(name);
    try {
      await navigator.clipboard.writeText(text.value);
    } catch {
      text.select(); // a page from a file may not write to the clipboard everywhere
    }
  }
  document.addEventListener("change", show);
  for (const one of document.querySelectorAll("[data-save]"))
    one.addEventListener("click", () => save(one.dataset.save));
  for (const one of document.querySelectorAll("[data-copy]"))
    one.addEventListener("click", () => copy(one.dataset.copy));
  show();
})();
