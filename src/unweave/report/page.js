// Unpacks the block `data`, draws the charts, shows one case alone, and fills what is unfolded.
(async function () {
  "use strict";
  const { drawChart, hideTip } = unweaveCharts;
  async function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const whole = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(whole).text());
  }
  let data;
  try {
    data = await unpack(document.getElementById("data").textContent);
  } catch (error) {
    const note = document.createElement("p");
    note.className = "alert";
    note.textContent = "This browser can neither draw the charts nor unfold the tests behind each verdict and the " +
      `examples (${error}); all else stands below, and every number in result.json.`;
    document.querySelector("main").prepend(note);
    return;
  }

  // The maps at once, the rest while nothing else is to do: hundreds of charts would hold up the first screen. All
  // widths are read before anything is drawn, for each drawing makes the next reading lay out the page again.
  const charts = [...document.querySelectorAll(".chart")];
  const later = window.requestIdleCallback || ((call) => setTimeout(call, 1));
  let waiting = [];
  function drawNext() {
    const { node, width } = waiting.shift();
    drawChart(node, shownOf(data.charts[Number(node.dataset.case)]), width);
  }

  // Methods at one budget, with what is no method; their groups and charts keep their places.
  let stage = "all";
  const isShown = (one) => stage === "all" || !one.stage || one.stage === stage;
  function shownOf(chart) {
    if (stage === "all") return chart;
    return {
      ...chart,
      map: chart.map && { ...chart.map, points: chart.map.points.filter(isShown) },
      residuals: chart.residuals.filter(isShown),
      groups: chart.groups.map((group) => ({ ...group, rows: group.rows.filter(isShown) })),
      trades: chart.trades.map((trade) => ({ ...trade, points: trade.points.filter(isShown) })),
    };
  }
  function hideOthers(within) {
    for (const part of within.querySelectorAll("[data-stage]")) part.hidden = !isShown(part.dataset);
  }
  function drawRest() {
    const until = performance.now() + 60;
    while (waiting.length && performance.now() < until) drawNext();
    if (waiting.length) later(drawRest); else document.documentElement.dataset.drawn = "all";
  }
  function drawAll() {
    hideTip();
    const busy = waiting.length > 0;
    // A chart that is hidden has no width, and is drawn when it is shown.
    waiting = charts.map((node) => ({ node, width: Math.floor(node.clientWidth) })).filter((one) => one.width);
    while (waiting.length && waiting[0].node.dataset.chart === "map") drawNext();
    document.documentElement.dataset.drawn = "maps";
    if (!busy) later(drawRest);
  }

  function fill(part) {
    if (part.childNodes.length) return;
    const { fill: kind, case: number, line } = part.dataset;
    part.innerHTML = data[kind][Number(number)][Number(line)];
    hideOthers(part);
    for (const image of part.querySelectorAll("[data-picture]")) image.src = data.pictures[Number(number)][image.dataset.picture];
  }
  document.addEventListener("toggle", (event) => {
    if (event.target.open) event.target.querySelectorAll("[data-fill]").forEach(fill);
  }, true);
  document.querySelectorAll("details[open] [data-fill]").forEach(fill); // opened before all was unpacked

  // One case at a time, or all of them.
  for (const group of document.querySelectorAll(".stages")) {
    group.hidden = false;
    const buttons = [...group.querySelectorAll("[data-stages]")];
    stage = buttons[0].dataset.stages;
    hideOthers(document);
    group.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-stages]");
      if (!chosen) return;
      stage = chosen.dataset.stages;
      for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
      hideOthers(document);
      drawAll();
    });
  }
  for (const group of document.querySelectorAll(".toggle:not(.stages)")) {
    group.hidden = false;
    group.addEventListener("click", (event) => {
      const chosen = event.target.closest("[data-show]");
      if (!chosen) return;
      const { show } = chosen.dataset;
      for (const button of group.querySelectorAll("[data-show]")) button.setAttribute("aria-pressed", String(button === chosen));
      for (const part of document.querySelectorAll("[data-of]")) part.hidden = show !== "all" && part.dataset.of !== show;
      document.querySelector(".maps").classList.toggle("single", show !== "all");
      drawAll();
    });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = "Copied";
    });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });
  window.addEventListener("beforeprint", () => {
    while (waiting.length) drawNext();
    document.querySelectorAll("[data-fill]").forEach(fill);
    for (const details of document.querySelectorAll("main details")) details.open = true;
  });
  let drawnAt = 0, timer = 0;
  window.addEventListener("resize", () => {
    if (document.documentElement.clientWidth === drawnAt) return;
    clearTimeout(timer);
    timer = setTimeout(() => { drawnAt = document.documentElement.clientWidth; drawAll(); }, 120);
  });
  drawnAt = document.documentElement.clientWidth;
  drawAll();
})();
