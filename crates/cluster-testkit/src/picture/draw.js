// The picture of one run: the drawing. It is given the run, what to show of it
// and where the causes are looked for, and fills the three SVG elements of the
// page: names, axis and lanes. Where things go is worked out in places.js, what
// is shown and selected in page.js; only the last drawing is kept here.
const Picture = (() => {
  "use strict";

  const { seconds, spoken } = Run;
  const { AXIS, STRIP, LETTER, LINE, fit, wrap, overlap, columnsOf, scalesFor, labelRoom, tickStep, runsOf } = Places;
  const SVG = "http://www.w3.org/2000/svg";
  const HEAD = 36; // height of the row of names
  const REPEAT = 280; // the label of a strip comes again after this many pixels
  const DOT = 10; // events of a lane closer than this sit side by side
  const DENSE_FROM = 0.5; // with more arrows a pixel of height they are drawn fainter
  const CHUNK_MS = 5000; // arrows are drawn in one path for each such stretch

  const circle = (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`;
  const SMALL = circle(3);
  const SHAPES = {
    failed: "M-6-6H6V6H-6z",
    suspected: "M0-6.5L6.5 5H-6.5z",
    alive: circle(5),
    left: circle(4.5),
    joined: "M0-5.5L5.5 0L0 5.5L-5.5 0z",
  };
  const NAMED_KINDS = [...Object.keys(SHAPES), "conflict", "reaped", "health_check_failed"];
  const FAULT_KINDS = ["pause", "cut", "loss", "disk", "clock", "hold"];

  let last = null; // the last drawing: its scales, items and arrows

  /** Kinds that matter most come first, the others after them by name. */
  function compareKinds(a, b) {
    const rank = (kind) => (NAMED_KINDS.includes(kind) ? NAMED_KINDS.indexOf(kind) : NAMED_KINDS.length);
    return rank(a) - rank(b) || a.localeCompare(b);
  }

  const kindClass = (kind) => `kind-${NAMED_KINDS.includes(kind) ? kind : "other"}`;
  const faultClass = (kind) => `fault-${FAULT_KINDS.includes(kind) ? kind : "other"}`;

  function add(parent, tag, attributes = {}, text = null) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text !== null) made.textContent = text;
    parent.append(made);
    return made;
  }

  function glyph(kind) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("viewBox", "-8 -8 16 16");
    svg.setAttribute("aria-hidden", "true");
    svg.setAttribute("class", `glyph ${kindClass(kind)}`);
    add(svg, "path", { class: "shape", d: SHAPES[kind] ?? SMALL });
    return svg;
  }

  function drawAxis(d) {
    const { scales, run, axis } = d;
    const step = tickStep(scales.zoom);
    const digits = step < 1 ? 1 : 0;
    let grid = "";
    for (let tick = 0; tick * step * 1000 <= run.until_ms; tick += 1) {
      const y = scales.y(tick * step * 1000);
      grid += `M0 ${y}H${scales.width}`;
      add(axis, "text", { class: "tick", x: AXIS - 8, y: y + 4 }, `${(tick * step).toFixed(digits)} s`);
    }
    add(d.lanes, "path", { class: "grid", d: grid });
    const end = scales.y(run.until_ms);
    add(d.lanes, "path", { class: "end", d: `M0 ${end}H${scales.width}` });
    add(d.lanes, "text", { class: "label quiet", x: 6, y: end + 16 }, `the run ends at ${seconds(run.until_ms)}`);
  }

  function drawHeads(d) {
    const { scales, run, focus } = d;
    for (const node of scales.shown) {
      const role = { [focus?.about]: "about", [focus?.by]: "by" }[node];
      const group = add(d.heads, "g", { class: role ? "head concerned" : "head", transform: `translate(${scales.x(node)} 0)` });
      add(group, "text", { y: 16 }, fit(run.nodes[node], scales.laneWidth));
      if (role) add(group, "text", { class: "role", y: 29 }, role);
      add(group, "title", {}, run.nodes[node]);
    }
  }

  /** The stretch in which causes are looked for, on the lanes it concerns, and the moment. */
  function drawFocus(d) {
    const { scales, focus } = d;
    if (!focus) return;
    const top = scales.y(focus.from ?? 0);
    const bottom = focus.at === null ? scales.y(d.run.until_ms) : scales.y(focus.at);
    for (const node of new Set([focus.by, focus.about])) {
      if (!scales.laneOf.has(node)) continue;
      const x = scales.left(scales.laneOf.get(node));
      add(d.lanes, "rect", { class: "window", x, y: top, width: scales.laneWidth, height: bottom - top });
    }
    if (focus.at === null) return;
    add(d.lanes, "path", { class: "moment", d: `M0 ${bottom}H${scales.width}` });
    add(d.axis, "rect", { class: "moment-flag", x: 2, y: bottom - 9, width: AXIS - 5, height: 18, rx: 3 });
    add(d.axis, "text", { class: "moment-time", x: AXIS - 8, y: bottom + 4 }, seconds(focus.at));
  }

  function drawJump(d, at) {
    if (at === null) return;
    add(d.lanes, "path", { class: "jump", d: `M0 ${d.scales.y(at)}H${d.scales.width}` });
  }

  /** A thing that can be picked: found again by its id, walked to in order of time. */
  function addItem(d, parent, type, index, at, lane, title) {
    const { focus } = d;
    const isCause = (type === "event" && focus?.events.has(index)) || (type === "fault" && focus?.faults.has(index));
    const group = add(parent, "g", { id: `${type}-${index}`, class: isCause ? "item cause" : "item", tabindex: -1, role: "button" });
    add(group, "title", {}, title);
    d.items.push({ element: group, at, lane });
    return group;
  }

  function faultTitle(run, fault) {
    const end = fault.to_ms === null ? "to the end" : `to ${seconds(fault.to_ms)}`;
    return `${fault.kind}: ${fault.label}, from ${seconds(fault.from_ms)} ${end}`;
  }

  function drawStrips(d) {
    const { scales, run } = d;
    scales.strips.forEach((span, i) => {
      const group = addItem(d, d.axis, "fault", span.index, span.from, -1, faultTitle(run, span.fault));
      group.classList.add("band", faultClass(span.fault.kind));
      const x = AXIS + STRIP * scales.stripColumns[i] + 1;
      const y = scales.y(span.from);
      const height = Math.max(4, scales.y(span.to) - y);
      add(group, "rect", { x, y, width: STRIP - 3, height, rx: 2 });
      const { label } = span.fault;
      drawUpright(group, label, x + 4, y, Math.min(REPEAT, height));
      for (let down = REPEAT; height - down > label.length * LETTER + 16; down += REPEAT) drawUpright(group, label, x + 4, y + down, REPEAT);
    });
  }

  function drawUpright(group, label, x, y, height) {
    const text = fit(label, height - 8);
    if (text) add(group, "text", { class: "label", transform: `translate(${x} ${y + 5}) rotate(90)` }, text);
  }

  function drawBands(d) {
    const { scales, run } = d;
    const share = (a, b) => overlap(a, b) && a.lanes.some((lane) => b.lanes.includes(lane));
    const depths = columnsOf(scales.bands, share);
    scales.bands.forEach((span, i) => {
      const group = addItem(d, d.layers.bands, "fault", span.index, span.from, span.lanes[0], faultTitle(run, span.fault));
      group.classList.add("band", faultClass(span.fault.kind));
      const y = scales.y(span.from);
      const height = Math.max(4, scales.y(span.to) - y);
      const inset = 2 + Math.min(depths[i] * 3, scales.laneWidth / 4);
      for (const [first, end] of runsOf(span.lanes)) {
        const width = scales.left(end + 1) - scales.left(first) - 2 * inset;
        add(group, "rect", { x: scales.left(first) + inset, y, width, height, rx: 3 });
        drawBandLabel(d, group, span.fault.label, { lane: first, depth: depths[i], width, y, height });
      }
    });
  }

  function drawBandLabel(d, group, label, { lane, depth, width, y, height }) {
    const { scales } = d;
    const left = scales.left(lane);
    const text = fit(label, width - scales.line - 8);
    if (text.length < Math.min(label.length, 8)) {
      drawUpright(group, label, left + 4 + Math.min(depth * LINE, scales.laneWidth - 16), y, height);
      return;
    }
    let base = y + 13;
    while (!d.claim(lane, base)) base += 2;
    add(group, "text", { class: "label", x: left + scales.line + 12, y: base }, text);
  }

  function arrowStyle(message, focus) {
    if (message.arrived_ms === null) return "lost";
    const { from, to, sent_ms: sent } = message;
    const between = focus && ((from === focus.by && to === focus.about) || (from === focus.about && to === focus.by));
    if (between && focus.from !== null && sent >= focus.from && sent <= focus.at) return "between";
    return message.count >= 10 ? "many" : message.count > 1 ? "some" : "one";
  }

  function arrowLine(scales, message) {
    const lost = message.arrived_ms === null;
    const x1 = scales.x(message.from);
    const y1 = scales.y(message.sent_ms);
    const across = scales.x(message.to) - x1;
    const x2 = x1 + across * (lost ? 0.5 : 1);
    return { x1, y1, x2, y2: lost ? y1 + 6 : scales.y(message.arrived_ms) };
  }

  function arrowPath({ x1, y1, x2, y2 }, lost) {
    const shaft = `M${x1.toFixed(1)} ${y1.toFixed(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}`;
    if (lost) return `${shaft}m-4-4l8 8m0-8l-8 8`;
    const length = Math.hypot(x2 - x1, y2 - y1) || 1;
    const [ux, uy] = [(5 * (x2 - x1)) / length, (5 * (y2 - y1)) / length];
    const barb = (side) => `${(x2 - ux - side * uy * 0.6).toFixed(1)} ${(y2 - uy + side * ux * 0.6).toFixed(1)}`;
    return `${shaft}M${barb(1)}L${x2.toFixed(1)} ${y2.toFixed(1)}L${barb(-1)}`;
  }

  function drawMessages(d) {
    const { scales, run, focus } = d;
    const paths = new Map();
    run.messages.forEach((message, index) => {
      if (!scales.laneOf.has(message.from) || !scales.laneOf.has(message.to)) return;
      const style = arrowStyle(message, focus);
      const line = arrowLine(scales, message);
      const key = `${style} ${Math.floor(message.sent_ms / CHUNK_MS)}`;
      paths.set(key, (paths.get(key) ?? "") + arrowPath(line, style === "lost"));
      d.arrows.push({ ...line, index });
    });
    const crowding = d.arrows.length / scales.height / DENSE_FROM;
    d.layers.messages.style.setProperty("--strength", Math.max(0.15, 1 / Math.max(1, crowding)).toFixed(2));
    for (const [key, path] of paths) add(d.layers.messages, "path", { class: `arrow arrow-${key.split(" ")[0]}`, d: path });
  }

  function drawLives(d) {
    const { scales, run } = d;
    for (const life of run.lives) {
      if (!scales.laneOf.has(life.node)) continue;
      const x = scales.x(life.node);
      const [from, to] = [scales.y(life.from_ms), scales.y(life.to_ms ?? run.until_ms)];
      add(d.layers.lives, "path", { class: "life", d: `M${x} ${from}V${to}` });
      add(d.layers.lives, "path", { class: "start", d: `M${x - 6} ${from}h12` });
      if (life.from_ms > 0) drawNote(d, life.node, life.from_ms, "started");
      if (life.to_ms === null || life.to_ms > run.until_ms) continue;
      const crashed = life.end === "crash";
      add(d.layers.lives, "path", { class: "stop", d: crashed ? `M${x - 6} ${to - 6}l12 12m0-12l-12 12` : `M${x - 6} ${to}h12` });
      drawNote(d, life.node, life.to_ms, crashed ? "crashed" : life.end === "leave" ? "left" : "stopped");
    }
  }

  function drawNote(d, node, at, text) {
    const { scales } = d;
    const note = fit(text, scales.laneWidth - scales.line - 14);
    if (note === text && d.claim(scales.laneOf.get(node), scales.y(at) + 4)) {
      add(d.layers.lives, "text", { class: "label quiet", x: scales.x(node) + 12, y: scales.y(at) + 4 }, note);
    }
  }

  function drawMarks(d) {
    const { scales, run } = d;
    run.marks.forEach((mark, index) => {
      const lane = mark.node === null ? 0 : scales.laneOf.get(mark.node);
      if (lane === undefined || scales.shown.length === 0) return;
      const y = scales.y(mark.at_ms);
      const x = scales.left(lane) + scales.line;
      const group = addItem(d, d.layers.marks, "mark", index, mark.at_ms, lane, `${seconds(mark.at_ms)}: ${mark.label}`);
      group.classList.add("mark");
      if (mark.node === null) add(group, "path", { class: "across", d: `M0 ${y}H${scales.width}` });
      add(group, "path", { class: "flag", d: `M${x - 12} ${y - 5}l9 5l-9 5z` });
      const room = (mark.node === null ? scales.width : scales.laneWidth) - scales.line - 14;
      const text = fit(mark.label, room);
      if (text && d.claim(lane, y + 4)) add(group, "text", { class: "label quiet", x: x + 12, y: y + 4 }, text);
    });
  }

  /** Events of one lane that are too close sit side by side; a cluster is such a group. */
  function placeEvents(d, indices) {
    const { scales, run } = d;
    const most = Math.max(1, Math.floor((scales.laneWidth - scales.line - 6) / DOT));
    const open = new Map();
    return indices.map((index) => {
      const { node, at_ms: at } = run.events[index];
      const y = scales.y(at);
      let cluster = open.get(node);
      if (!cluster || y - cluster.y >= DOT) cluster = { size: 0 };
      open.set(node, cluster);
      const place = { index, y, x: scales.x(node) + DOT * (cluster.size % most), cluster };
      cluster.y = y;
      cluster.size += 1;
      return place;
    });
  }

  function drawEvents(d, kinds) {
    const { run, scales } = d;
    const shown = run.events.map((_, index) => index).filter((index) => kinds.has(run.events[index].kind) && scales.laneOf.has(run.events[index].node));
    shown.sort((a, b) => run.events[a].at_ms - run.events[b].at_ms);
    const places = placeEvents(d, shown);
    const isCause = ({ index }) => d.focus?.events.has(index) ?? false;
    places.sort((a, b) => isCause(b) - isCause(a) || compareKinds(run.events[a.index].kind, run.events[b.index].kind));
    for (const place of places) drawEventLabel(d, place);
    for (const place of places.reverse()) drawEvent(d, place);
    return shown.length;
  }

  function drawEvent(d, { index, x, y }) {
    const event = d.run.events[index];
    const title = `${seconds(event.at_ms)}, ${d.run.nodes[event.node]}: ${event.text || spoken(event.kind)}`;
    const group = addItem(d, d.layers.events, "event", index, event.at_ms, d.scales.laneOf.get(event.node), title);
    group.classList.add("event", kindClass(event.kind));
    group.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
    add(group, "circle", { class: "hit", r: 6 });
    add(group, "circle", { class: "ring", r: 10 });
    add(group, "path", { class: "shape", d: SHAPES[event.kind] ?? SMALL });
  }

  function drawEventLabel(d, { index, y, cluster }) {
    const { scales } = d;
    const event = d.run.events[index];
    const start = scales.line + 12 + DOT * (cluster.size - 1);
    const text = event.text || spoken(event.kind);
    const isCause = d.focus?.events.has(index);
    const room = (scales.laneWidth - start - 4) * (isCause || event.kind === "failed" ? 0.88 : 1); // bold is wider
    const lane = scales.laneOf.get(event.node);
    if (fit(text, room).length < 8 || !d.claim(lane, y + 4)) return;
    const lines = wrap(text, room);
    if (lines.length > 1 && !d.claim(lane, y + 4 + LINE)) lines.splice(0, 2, fit(text, room));
    const label = add(d.layers.labels, "text", { class: `label ${isCause ? "of-cause " : ""}${kindClass(event.kind)}` });
    lines.forEach((line, i) => add(label, "tspan", { x: scales.left(lane) + start, y: y + 4 + i * LINE }, line));
  }

  function emptied(id, width, height) {
    const svg = document.getElementById(id);
    svg.replaceChildren();
    svg.setAttribute("width", width);
    svg.setAttribute("height", height);
    return svg;
  }

  /** Draws the run anew and says how much of it was drawn. */
  function draw(run, show, focus, width) {
    const scales = scalesFor(run, show.nodes, show.zoom, width);
    const d = { run, scales, focus, items: [], arrows: [], layers: {}, claim: labelRoom() };
    d.heads = emptied("heads", scales.width, HEAD);
    d.axis = emptied("axis", scales.axisWidth, scales.height);
    d.lanes = emptied("lanes", scales.width, scales.height);
    drawHeads(d);
    drawAxis(d);
    drawFocus(d);
    for (const name of ["bands", "messages", "lives", "marks", "labels", "events"]) d.layers[name] = add(d.lanes, "g", { class: name });
    drawJump(d, show.at);
    drawStrips(d);
    drawBands(d);
    if (show.messages) drawMessages(d);
    drawLives(d);
    drawMarks(d);
    const events = drawEvents(d, show.kinds);
    d.items.sort((a, b) => a.at - b.at);
    last = d;
    const causes = d.items.filter((item) => item.element.classList.contains("cause")).length;
    return { lanes: scales.shown.length, events, bands: scales.strips.length + scales.bands.length, arrows: d.arrows.length, causes };
  }

  /** The message whose arrow passes nearest to a point of the lanes, or null. */
  function messageAt(x, y) {
    let best = { distance: 5, index: null };
    for (const { x1, y1, x2, y2, index } of last.arrows) {
      const [dx, dy] = [x2 - x1, y2 - y1];
      const along = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1)));
      const distance = Math.hypot(x - x1 - along * dx, y - y1 - along * dy);
      if (distance < best.distance) best = { distance, index };
    }
    return best.index;
  }

  /** The item an arrow key leads to: up and down in time, left and right to another lane. */
  function neighbour(element, key) {
    const at = last.items.findIndex((item) => item.element === element);
    if (key === "ArrowDown" || key === "ArrowUp") return last.items[at + (key === "ArrowDown" ? 1 : -1)]?.element;
    const { lane, at: time } = last.items[at];
    const ahead = (item) => (key === "ArrowRight" ? item.lane - lane : lane - item.lane);
    const beyond = last.items.filter((item) => ahead(item) > 0);
    const nearest = Math.min(...beyond.map(ahead));
    const candidates = beyond.filter((item) => ahead(item) === nearest);
    return candidates.sort((a, b) => Math.abs(a.at - time) - Math.abs(b.at - time))[0]?.element;
  }

  return {
    HEAD, draw, messageAt, neighbour, glyph, faultClass, compareKinds,
    scales: () => last?.scales ?? null,
    items: () => last.items.map((item) => item.element),
  };
})();
