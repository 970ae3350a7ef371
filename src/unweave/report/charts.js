// Charts drawn with Observable Plot, and what is told beside their points: `unweaveCharts`.
const unweaveCharts = (function () {
  "use strict";
  const tip = document.getElementById("tip");
  const SYMBOLS = {
    untrained: "square", unlearned: "triangle", both: "star", neither: "circle", inconclusive: "diamond",
    "no-power": "wye", "not-applicable": "times", original: "cross", null: "circle", reference: "diamond2",
  };
  const FONT = "12px 'Helvetica Neue', 'Segoe UI', Arial, 'Liberation Sans', sans-serif";
  const sizeOf = (symbol) => ({ null: 6.6, reference: 6.6, original: 5.8 })[symbol] || 4.8;
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = FONT;
  const widthOf = (text) => d3.max(text.split("\n"), (line) => pen.measureText(line).width);
  const shorten = (text, most) => {
    if (widthOf(text) <= most) return text;
    let end = text.length;
    while (end > 1 && widthOf(text.slice(0, end) + "…") > most) end -= 1;
    return text.slice(0, end) + "…";
  };

  // Plot adds a style element to each chart, which the page's policy would refuse: page.css holds its rules.
  function draw(options) {
    const chart = Plot.plot({ className: "plot", style: { font: FONT, color: "var(--ink)" }, ...options });
    d3.select(chart).selectAll("style").remove();
    return chart;
  }

  function showTip(point, node) {
    tip.replaceChildren();
    const add = (parent, tag, text, name) => {
      const child = parent.appendChild(document.createElement(tag));
      child.textContent = text;
      if (name) child.className = name;
      return child;
    };
    const title = add(tip, "p", "");
    add(title, "b", point.name);
    add(tip, "p", point.words, "says");
    const table = add(tip, "table", "");
    for (const [head, value] of point.tip) {
      const line = add(table, "tr", "");
      add(line, "td", head);
      add(line, "td", value);
    }
    tip.hidden = false;
    const box = node.getBoundingClientRect();
    const size = tip.getBoundingClientRect();
    const wide = document.documentElement.clientWidth;
    const left = Math.max(8, Math.min(box.x + box.width / 2 + 14, wide - size.width - 8));
    const above = box.y - size.height - 10;
    tip.style.left = `${left + window.scrollX}px`;
    tip.style.top = `${(above > 4 ? above : box.y + box.height + 10) + window.scrollY}px`;
  }
  const hideTip = () => { tip.hidden = true; };

  // Keep one unit of t as long as one unit of height: distances in the picture are then distances.
  function frameOf({ x, y, beyond }, width, margin) {
    let [x0, x1] = x;
    let [y0, y1] = y;
    const inner = width - margin.left - margin.right;
    const least = Math.min(210, inner * 0.6), most = 540;
    let unit = inner / (x1 - x0);
    if ((y1 - y0) * unit < least) y1 = y0 + least / unit;
    // Points beyond the upper border get a band of their own under it.
    const core = y1;
    if (beyond) y1 += 58 / unit;
    let height = (y1 - y0) * unit;
    const squeezed = height > 2 * most;
    if (height > most && !squeezed) {
      unit = most / (y1 - y0);
      const middle = (x0 + x1) / 2, half = inner / unit / 2;
      [x0, x1] = [middle - half, middle + half];
    }
    if (squeezed && beyond) y1 = y0 + ((core - y0) * most) / (most - 58);
    height = Math.min(height, most);
    return { x0, x1, y0, y1, inner, height, squeezed, core };
  }

  // Points that lie on each other share one label.
  function gatherLabels(points) {
    const heads = [];
    for (const p of points) {
      const gap = (head) => d3.min(head.crowd, (q) => Math.hypot(q.px - p.px, q.py - p.py));
      const head = d3.least(p.far ? [] : heads.filter((one) => !one.far), gap);
      if (head && gap(head) < 9) head.crowd.push(p);
      else heads.push({ ...p, crowd: [p] });
    }
    for (const head of heads) {
      if (head.crowd.length < 2) continue;
      const lines = [""];
      for (const [i, p] of head.crowd.entries()) {
        const word = p.name + (i < head.crowd.length - 1 ? ", " : "");
        if (lines.at(-1) && (lines.at(-1) + word).length > 30) lines.push(word);
        else lines[lines.length - 1] += word;
      }
      head.text = lines.map((one) => one.trim()).join("\n");
    }
    return heads;
  }

  const DIRECTIONS = [0, 180, -90, -35, -145, 35, 145, -65, -115, -15, -165, 15, 165].map((angle) => [
    Math.cos((angle * Math.PI) / 180), Math.sin((angle * Math.PI) / 180)]);

  // Put each label at the cheapest free place near its point, and tie it to the point where that is far.
  function placeLabels(heads, points, frame) {
    const taken = [];
    const overlap = (a, b) =>
      Math.max(0, Math.min(a.x1, b.x1) - Math.max(a.x0, b.x0)) *
      Math.max(0, Math.min(a.y1, b.y1) - Math.max(a.y0, b.y0));
    const dots = points.map((p) => ({ x0: p.px - 7, x1: p.px + 7, y0: p.py - (p.far ? 26 : 7), y1: p.py + 7 }));
    const room = (box, others, most) => {
      let sum = 0;
      for (const other of others) if (other.x0 < box.x1 && other.x1 > box.x0 && (sum += overlap(box, other)) > most) break;
      return sum;
    };
    for (const p of heads) {
      const w = widthOf(p.text), h = 14 * p.text.split("\n").length;
      let best = null;
      for (const radius of [11, 22, 36, 52, 70, 90, 115, 145]) {
        if (best && best.cost <= radius) break;
        for (const [rank, [dx, dy]] of DIRECTIONS.entries()) {
          const x = p.px + radius * dx + (dx > 0.2 ? w / 2 : dx < -0.2 ? -w / 2 : 0);
          const y = p.py + radius * dy + (Math.abs(dx) <= 0.5 ? Math.sign(dy) * h / 2 : 0);
          const box = { x0: x - w / 2 - 2, x1: x + w / 2 + 2, y0: y - h / 2, y1: y + h / 2, x, y };
          const outside = Math.max(0, frame.left - box.x0) + Math.max(0, box.x1 - frame.right) +
            Math.max(0, frame.top - box.y0) + Math.max(0, box.y1 - frame.bottom);
          let cost = radius + rank * 1.5 + 40 * outside;
          if (best && cost >= best.cost) continue;
          const most = best ? (best.cost - cost) / 3 : Infinity;
          const crossed = room(box, taken, most);
          cost += 3 * (crossed + (crossed > most ? 0 : room(box, dots, most - crossed)));
          if (!best || cost < best.cost) best = { ...box, cost, radius };
        }
      }
      taken.push(best);
      p.label = best;
    }
  }

  // Dots look like the symbols of the tables, and tell their row to the pointer and to the keyboard.
  function nameDots(chart, points, said) {
    d3.select(chart).selectAll(".dots path, .dots circle").each(function (i) {
      const p = points[i];
      this.setAttribute("class", `dot mark-${p.symbol}`);
      if (p.id) this.setAttribute("data-row", p.id);
      this.setAttribute("tabindex", "0");
      this.setAttribute("role", "img");
      this.setAttribute("aria-label", said(p));
      this.addEventListener("focus", () => showTip(p, this));
      this.addEventListener("blur", hideTip);
    });
    const dots = d3.select(chart).selectAll(".dot").nodes();
    chart.addEventListener("pointermove", (event) => {
      const [x, y] = d3.pointer(event, chart);
      const away = (p) => Math.hypot(p.px - x, p.py - y);
      const nearest = d3.leastIndex(points, (a, b) => away(a) - away(b));
      if (nearest >= 0 && away(points[nearest]) < 22) showTip(points[nearest], dots[nearest]); else hideTip();
    });
    chart.addEventListener("pointerleave", hideTip);
  }

  function drawMap(node, data, width) {
    const { frame, points, anchors } = data.map;
    const margin = { left: 46, right: 14, top: 22, bottom: 74 };
    const f = frameOf(frame, width, margin);
    const height = f.height + margin.top + margin.bottom;
    const toX = d3.scaleLinear([f.x0, f.x1], [margin.left, width - margin.right]);
    const toY = d3.scaleLinear([f.y0, f.y1], [height - margin.bottom, margin.top]);
    const edge = 26;
    const marks = points.map((p) => {
      const px = Math.max(margin.left + edge, Math.min(width - margin.right - edge, toX(p.x)));
      const py = Math.max(margin.top + edge, toY(p.y));
      const across = p.x < f.x0 ? -1 : p.x > f.x1 ? 1 : 0, up = p.y > f.core ? 1 : 0;
      const far = across !== 0 || up !== 0;
      const inside = { px: far && (across || up) ? px : toX(p.x), py: far ? py : toY(p.y) };
      return { ...p, ...inside, far, turn: up ? across * 45 : across * 90, text: far ? `${p.name}\n${p.place}` : p.name };
    });
    const border = marks.filter((p) => p.far);
    for (const [i, p] of border.entries()) {
      // Several points beyond the same stretch of the border stand side by side.
      while (border.slice(0, i).some((q) => Math.hypot(q.px - p.px, q.py - p.py) < 18)) p.px += 19;
    }
    const heads = gatherLabels(marks);
    placeLabels(heads, marks, { left: margin.left, right: width - 2, top: 4, bottom: height - margin.bottom - 1 });
    const back = (p) => ({ ...p, x: toX.invert(p.px), y: toY.invert(p.py) });
    const placed = marks.map(back), named = heads.map(back);
    const spreads = placed.filter((p) => p.ellipse && !p.far);
    const corners = spreads.flatMap((p, i) => p.ellipse.map(([x, y]) => ({ x, y, i })));
    const lx = (p) => toX.invert(p.label.x), ly = (p) => toY.invert(p.label.y);
    const paper = "var(--paper)", muted = "var(--muted)", line = "var(--line)";
    const ends = anchors.map((name, t) => ({ t, name }));
    const step = f.inner / (f.x1 - f.x0) > 330 ? 0.25 : 0.5;
    const ticks = (a, b) => d3.range(Math.ceil(a / step) * step, b + 1e-9, step);
    const rungs = f.squeezed ? d3.ticks(f.y0, f.core, 6) : ticks(f.y0, f.core);
    const chart = draw({
      width, height, marginLeft: margin.left, marginRight: margin.right, marginTop: margin.top, marginBottom: margin.bottom,
      x: { domain: [f.x0, f.x1], label: null }, y: { domain: [f.y0, f.y1], label: null },
      ariaLabel: `Map of ${data.name}: generality across, distance off the line upwards`,
      marks: [
        Plot.gridX(ticks(f.x0, f.x1), { stroke: line, strokeOpacity: 1 }),
        Plot.gridY(rungs, { stroke: line, strokeOpacity: 1 }),
        Plot.axisX(ticks(f.x0, f.x1), { tickSize: 0, color: muted, label: null, tickFormat: (d) => d3.format("~g")(d) }),
        Plot.axisY(rungs, { tickSize: 0, color: muted, label: null, tickFormat: (d) => d3.format("~g")(d) }),
        Plot.ruleY(f.core < f.y1 ? [f.core] : [], { stroke: muted, strokeDasharray: "2,4" }),
        Plot.link([0], { x1: f.x0, x2: f.x1, y1: 0, y2: 0, stroke: muted }),
        Plot.link([0], { x1: 0, x2: 1, y1: 0, y2: 0, stroke: "var(--ink)", strokeWidth: 2.5 }),
        Plot.tickX(ends, { x: "t", stroke: "var(--ink)", strokeWidth: 2.5, insetTop: f.height - 7, insetBottom: -7 }),
        Plot.text(ends, { x: "t", frameAnchor: "bottom", dy: 36, text: (d) => d.name.replace(" ", "\n"), fill: "var(--ink)", fontWeight: 650, lineHeight: 1.15, lineAnchor: "top", className: "anchors" }),
        Plot.text([0.5], { x: (d) => d, frameAnchor: "bottom", dy: 42, text: () => "generality t →", fill: muted }),
        Plot.text(["↑ off-line"], { frameAnchor: "top-left", dx: -40, dy: -14, fill: muted, textAnchor: "start" }),
        Plot.line(corners, { x: "x", y: "y", z: "i", curve: "linear-closed", clip: true, className: "spreads", fill: "currentColor", stroke: "currentColor" }),
        Plot.link(named.filter((p) => p.label.radius > 15), { x1: "x", y1: "y", x2: lx, y2: ly, stroke: muted, strokeWidth: 0.8, strokeOpacity: 0.75 }),
        Plot.vector(border.map(back), { x: "x", y: "y", rotate: "turn", length: 19, anchor: "start", shape: "arrow", stroke: muted, strokeWidth: 1.6 }),
        Plot.text(named, { x: lx, y: ly, text: "text", fill: "var(--ink)", stroke: paper, strokeWidth: 4, lineHeight: 1.15, className: "names" }),
        Plot.dot(placed, { x: "x", y: "y", r: (p) => sizeOf(p.symbol), symbol: (p) => SYMBOLS[p.symbol], className: "dots", fill: "currentColor" }),
      ],
      symbol: { type: "identity" }, r: { type: "identity" },
    });
    d3.select(chart).selectAll(".spreads path").each(function (_, i) {
      this.setAttribute("class", `spread mark-${spreads[i].symbol}`);
    });
    nameDots(chart, placed, (p) => `${p.name}: ${p.words}; ${p.place}`);
    node.replaceChildren(chart);
    if (f.squeezed) {
      const note = node.appendChild(document.createElement("p"));
      note.className = "note";
      note.textContent = "The height is drawn at a smaller scale than t, since the original lies far off the line.";
    }
  }

  // Dots with intervals of r_S and r_B, one line per row.
  function drawResiduals(node, rows, limit, width) {
    if (!rows.length) { node.replaceChildren(); return; }
    const room = Math.min(width * 0.36, 190);
    const left = Math.min(room, d3.max(rows, (d) => widthOf(d.name)) + 4) + 8;
    const series = ["untraining", "unlearning"].flatMap((aim) =>
      rows.map((row, i) => ({ i, aim, row, at: row[aim] })).filter((d) => d.at));
    const bounds = series.flatMap((d) => [d.at.value, d.at.low, d.at.high]).filter((v) => v !== null);
    const low = Math.max(-1, Math.min(-0.05, d3.min(bounds))), high = Math.min(200, Math.max(1.1, d3.max(bounds)));
    const bent = high > 2;
    const both = new Set(series.map((d) => d.aim)).size > 1;
    const names = new Map(rows.map((row, i) => [i, row.name]));
    const ticks = bent ? [-1, 0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200] : [-1, -0.5, 0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];
    const marks = [
      Plot.gridX(ticks.filter((t) => t >= low && t <= high), { stroke: "var(--line)", strokeOpacity: 1 }),
      Plot.axisX(ticks.filter((t) => t >= low && t <= high), { tickSize: 0, color: "var(--muted)", label: null, tickFormat: (d) => d3.format("~g")(d) }),
      Plot.axisY({ tickSize: 0, label: null, tickFormat: (i) => shorten(names.get(i), left - 10) }),
      Plot.ruleX([0, 1], { stroke: "var(--muted)" }),
      Plot.ruleX([limit], { stroke: "var(--ink)", strokeDasharray: "4,3" }),
    ];
    for (const [aim, side, symbol] of [["untraining", -1, "square"], ["unlearning", 1, "triangle"]]) {
      const own = series.filter((d) => d.aim === aim);
      const color = `var(--${aim === "untraining" ? "untrained" : "unlearned"})`;
      const dy = both ? 5 * side : 0;
      const clamp = (v) => Math.max(low, Math.min(high, v));
      const x1 = (d) => (d.at.low === null ? low : clamp(d.at.low)), x2 = (d) => (d.at.high === null ? high : clamp(d.at.high));
      const open = { x1, x2, y1: "i", y2: "i", dy, stroke: color, strokeWidth: 2.2 };
      for (const [isLow, isHigh] of [[false, false], [true, false], [false, true], [true, true]]) {
        const some = own.filter((d) => (d.at.low ?? -Infinity) < low === isLow && (d.at.high ?? Infinity) > high === isHigh)
          .filter((d) => x1(d) < x2(d));
        const ends = { markerStart: isLow ? "arrow-reverse" : "none", markerEnd: isHigh ? "arrow" : "none" };
        marks.push(Plot.link(some, { ...open, ...ends }));
      }
      marks.push(Plot.dot(own, { x: (d) => clamp(d.at.value), y: "i", dy, symbol, r: 4, fill: color, stroke: "var(--paper)", title: (d) => `${d.row.name}: ${d.row.text}` }));
    }
    for (const [aim, side] of [["untraining", -1], ["unlearning", 1]]) marks.push(Plot.text(series.filter((d) => d.aim === aim && d.at.value > high), {
      x: high, y: "i", dx: -10, dy: both ? 5 * side : 0, text: (d) => `${d3.format(".3~g")(d.at.value)} →`, textAnchor: "end",
      fill: "var(--muted)", stroke: "var(--paper)", strokeWidth: 4, fontSize: 10.5,
    }));
    const scale = bent ? { type: "symlog", constant: 0.6 } : { type: "linear" };
    node.replaceChildren(draw({
      width, height: rows.length * (both ? 25 : 20) + 34, marginLeft: left, marginRight: 14, marginTop: 6, marginBottom: 24,
      x: { ...scale, domain: [low, high], label: null }, y: { type: "band", domain: d3.range(rows.length), label: null, padding: 0 },
      ariaLabel: "Share of the way still to go, with intervals", marks,
    }));
  }

  // Two measures of each row against each other, with intervals; names stand beside the points.
  function drawTrade(node, trade, width) {
    if (!trade.points.length) { node.replaceChildren(); return; }
    const margin = { left: 46, right: 16, top: 24, bottom: 40 }, height = 300;
    const within = (key) => trade.points.flatMap((p) => [p[key].value, p[key].low, p[key].high]).filter((v) => v !== null);
    const padded = (values, least) => {
      const [a, b] = d3.extent(values);
      const pad = Math.max((b - a) * 0.08, least);
      return [a - pad, b + pad];
    };
    const across = padded(within("x"), 0.02);
    const [low, high] = padded(within("y").map((v) => Math.min(v, 200)), 0.05);
    const scaleY = trade.bent
      ? d3.scaleSymlog([Math.max(low, -1), high * 1.2], [height - margin.bottom, margin.top]).constant(0.6)
      : d3.scaleLinear([low, high], [height - margin.bottom, margin.top]);
    const scaleX = d3.scaleLinear(across, [margin.left, width - margin.right]);
    const [y0, y1] = scaleY.domain();
    const hold = (v, a, b) => Math.max(a, Math.min(b, v));
    const points = trade.points.map((p) => {
      const at = { x: p.x.value, y: hold(p.y.value, y0, y1) };
      return { ...p, at, text: p.name, px: scaleX(at.x), py: scaleY(at.y) };
    });
    const heads = gatherLabels(points);
    placeLabels(heads, points, { left: margin.left, right: width - 2, top: 4, bottom: height - margin.bottom });
    const muted = "var(--muted)", line = "var(--line)";
    const rungs = trade.bent ? [-1, 0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200].filter((t) => t >= y0 && t <= y1) : d3.ticks(y0, y1, 5);
    const lx = (p) => scaleX.invert(p.label.x), ly = (p) => scaleY.invert(p.label.y);
    const stroke = { stroke: muted, strokeWidth: 1.2, strokeOpacity: 0.8 };
    const chart = draw({
      width, height, marginLeft: margin.left, marginRight: margin.right, marginTop: margin.top, marginBottom: margin.bottom,
      x: { domain: across, label: null },
      y: trade.bent ? { type: "symlog", constant: 0.6, domain: [y0, y1], label: null } : { domain: [y0, y1], label: null },
      ariaLabel: trade.head, symbol: { type: "identity" }, r: { type: "identity" },
      marks: [
        Plot.gridX(d3.ticks(...across, 5), { stroke: line, strokeOpacity: 1 }),
        Plot.gridY(rungs, { stroke: line, strokeOpacity: 1 }),
        Plot.axisX(d3.ticks(...across, 5), { tickSize: 0, color: muted, label: null, tickFormat: (d) => d3.format("~g")(d) }),
        Plot.axisY(rungs, { tickSize: 0, color: muted, label: null, tickFormat: (d) => d3.format("~g")(d) }),
        Plot.text([trade.up], { frameAnchor: "top-left", dx: -40, dy: -14, fill: muted, textAnchor: "start" }),
        Plot.text([trade.across], { frameAnchor: "bottom-right", dy: 34, fill: muted, textAnchor: "end" }),
        Plot.link(points, { x1: (p) => p.x.low ?? across[0], x2: (p) => p.x.high ?? across[1], y1: (p) => p.at.y, y2: (p) => p.at.y, ...stroke }),
        Plot.link(points, { x1: (p) => p.at.x, x2: (p) => p.at.x, y1: (p) => hold(p.y.low ?? y0, y0, y1), y2: (p) => hold(p.y.high ?? y1, y0, y1), ...stroke }),
        Plot.link(heads.filter((p) => p.label.radius > 15), { x1: (p) => p.at.x, y1: (p) => p.at.y, x2: lx, y2: ly, stroke: muted, strokeWidth: 0.8, strokeOpacity: 0.75 }),
        Plot.text(heads, { x: lx, y: ly, text: "text", fill: "var(--ink)", stroke: "var(--paper)", strokeWidth: 4, lineHeight: 1.15, className: "names" }),
        Plot.dot(points, { x: (p) => p.at.x, y: (p) => p.at.y, r: (p) => sizeOf(p.symbol), symbol: (p) => SYMBOLS[p.symbol], className: "dots", fill: "currentColor" }),
      ],
    });
    nameDots(chart, points, (p) => `${p.name}: ${p.words}`);
    node.replaceChildren(chart);
  }

  function drawDistances(node, rows, width) {
    if (!rows.length) { node.textContent = "No distance was measured."; return; }
    const left = Math.min(width * 0.45, d3.max(rows, (d) => widthOf(d.name)) + 12);
    const high = d3.max(rows, (d) => Math.max(d.value, d.high ?? d.value, 0.01));
    const low = Math.min(0, d3.min(rows, (d) => Math.min(d.value, d.low ?? d.value)));
    node.replaceChildren(draw({
      width, height: rows.length * 38 + 40, marginLeft: left, marginRight: 150, marginTop: 8, marginBottom: 40,
      x: { domain: [low, high], label: "energy distance E² →", grid: true, ticks: 5 }, y: { domain: rows.map((d) => d.name), label: null },
      ariaLabel: "Distances between the worlds",
      marks: [
        Plot.axisY({ tickSize: 0, label: null, tickFormat: (name) => shorten(name, left - 10) }),
        Plot.barX(rows, { x: "value", y: "name", fill: "var(--muted)", fillOpacity: 0.35, insetTop: 8, insetBottom: 8 }),
        Plot.link(rows, { x1: (d) => d.low ?? low, x2: (d) => d.high ?? high, y1: "name", y2: "name", stroke: "var(--ink)", strokeWidth: 2 }),
        Plot.ruleX([0], { stroke: "var(--muted)" }),
        Plot.text(rows, { x: (d) => Math.max(d.value, d.high ?? high), y: "name", text: "text", textAnchor: "start", dx: 8, fill: "var(--ink)" }),
      ],
    }));
  }

  const KINDS = {
    map: (node, data, width) => drawMap(node, data, width),
    distances: (node, data, width) => drawDistances(node, data.distances, width),
    trade: (node, data, width) => drawTrade(node, data.trades[Number(node.dataset.trade)], width),
    residuals: (node, data, width) => drawResiduals(node, data.residuals, data.margin, Math.min(width, 980)),
    group: (node, data, width) => drawResiduals(node, data.groups[Number(node.dataset.group)].rows, data.margin, width),
  };
  const drawChart = (node, data, width) => KINDS[node.dataset.chart](node, data, width);
  return { drawChart, hideTip };
})();
