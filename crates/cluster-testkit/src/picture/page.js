// The picture of one run: the page around the drawing. It keeps what is shown
// and selected (in the location hash too) and fills the header, the controls and
// the side panel. The data is read in run.js, the drawing is made in draw.js.
(() => {
  "use strict";

  const ZOOM = { least: 0.1, usual: 12, most: 1000, step: 1.25 };
  const PICKED = { event: "events", fault: "faults", mark: "marks", message: "messages" };
  const { concernsAll, seconds, spoken } = Run;
  const byId = (id) => document.getElementById(id);
  let run = null;
  let state = null; // { finding, nodes, kinds, messages, zoom, at, picked: { type, index } }
  let focus = null; // what the selected finding is about, and its causes

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  // ---- the state and the location hash -----------------------------------

  const allNodes = () => run.nodes.map((_, node) => node);
  const allKinds = () => [...new Set(run.events.map((event) => event.kind))].sort(Picture.compareKinds);

  function indexFrom(text, list) {
    return text !== null && /^\d+$/.test(text) && Number(text) < list.length ? Number(text) : null;
  }

  function firstFinding() {
    const index = run.findings.findIndex((finding) => finding.at_ms !== null);
    return index < 0 ? null : index;
  }

  /** Reads e.g. #finding=0&nodes=0,3&kinds=failed&messages=0&zoom=40&at=31.2&event=17 (or fault, mark, message). */
  function stateFromHash() {
    const given = new URLSearchParams(location.hash.slice(1));
    const list = (name) => given.get(name)?.split(",").filter((item) => item !== "");
    const number = (name) => (given.get(name) && Number.isFinite(Number(given.get(name))) ? Number(given.get(name)) : null);
    const nodes = list("nodes")?.map(Number);
    const kinds = list("kinds");
    const type = Object.keys(PICKED).find((name) => indexFrom(given.get(name), run[PICKED[name]]) !== null);
    const zoom = number("zoom");
    return {
      finding: given.has("finding") ? indexFrom(given.get("finding"), run.findings) : firstFinding(),
      nodes: allNodes().filter((node) => !nodes || nodes.includes(node)),
      kinds: new Set(allKinds().filter((kind) => !kinds || kinds.includes(kind))),
      messages: given.get("messages") !== "0",
      zoom: zoom === null ? usualZoom() : within(zoom, ZOOM.least, ZOOM.most),
      at: number("at"),
      picked: type ? { type, index: Number(given.get(type)) } : null,
    };
  }

  function writeHash() {
    const parts = [`finding=${state.finding ?? "none"}`];
    if (state.nodes.length < run.nodes.length) parts.push(`nodes=${state.nodes.join(",")}`);
    if (state.kinds.size < allKinds().length) parts.push(`kinds=${[...state.kinds].map(encodeURIComponent).join(",")}`);
    if (!state.messages) parts.push("messages=0");
    parts.push(`zoom=${Number(state.zoom.toFixed(2))}`);
    if (state.at !== null) parts.push(`at=${state.at}`);
    if (state.picked) parts.push(`${state.picked.type}=${state.picked.index}`);
    history.replaceState(null, "", `#${parts.join("&")}`);
  }

  const within = (value, least, most) => Math.min(most, Math.max(least, value));
  const fittingZoom = () => within((byId("drawing").clientHeight - 110) / (run.until_ms / 1000), ZOOM.least, ZOOM.most);
  const usualZoom = () => Math.round(within(fittingZoom(), ZOOM.usual, 40));

  /** Changes the state and shows it; what was in the middle of the drawing stays there. */
  function change(changes) {
    Object.assign(state, changes);
    redraw();
    writeHash();
  }

  // ---- showing -----------------------------------------------------------

  function redraw() {
    const drawing = byId("drawing");
    const before = Picture.scales();
    const middle = (drawing.clientHeight - Picture.HEAD) / 2;
    const kept = before && { time: before.time(drawing.scrollTop + middle), lane: drawing.scrollLeft / before.laneWidth };
    const focused = document.activeElement?.closest?.(".item")?.id;
    focus = Run.focusOn(run, state.finding);
    const counts = Picture.draw(run, { ...state, at: state.at === null ? null : state.at * 1000 }, focus, drawing.clientWidth);
    if (kept) {
      const after = Picture.scales();
      drawing.scrollTop = after.y(kept.time) - middle;
      drawing.scrollLeft = kept.lane * after.laneWidth;
    }
    Object.assign(document.body.dataset, counts);
    showControls();
    showPicked();
    showStory();
    oneTabStop(byId(focused ?? "") ?? Picture.items()[0]);
    if (focused) byId(focused)?.focus({ preventScroll: true });
  }

  /** Only one item of the drawing is reached with Tab; arrow keys lead to the others. */
  function oneTabStop(item) {
    for (const other of document.querySelectorAll(".item[tabindex='0']")) other.setAttribute("tabindex", -1);
    item?.setAttribute("tabindex", 0);
  }

  /** Scrolls the drawing to a moment and to the middle of some lanes. */
  function reveal(ms, nodes) {
    const drawing = byId("drawing");
    const scales = Picture.scales();
    if (ms !== null) drawing.scrollTop = scales.y(ms) - (drawing.clientHeight - Picture.HEAD) * 0.7;
    const places = nodes.filter((node) => scales.laneOf.has(node)).map((node) => scales.x(node));
    if (places.length === 0) return;
    const [least, most] = [Math.min(...places), Math.max(...places)];
    const room = drawing.clientWidth - scales.axisWidth;
    const middle = most - least < room - scales.laneWidth ? (least + most) / 2 : places[0];
    drawing.scrollLeft = middle - room / 2;
  }

  function revealState() {
    const { picked, at, finding } = state;
    if (picked) revealEntry(picked);
    else if (at !== null) reveal(at * 1000, []);
    else if (finding !== null) reveal(focus.at, [focus.by, focus.about]);
  }

  function revealEntry({ type, index }) {
    const entry = run[PICKED[type]][index];
    reveal(entry.at_ms ?? entry.from_ms ?? entry.sent_ms, entry.nodes ?? [entry.node ?? entry.from]);
  }

  function selectFinding(index) {
    change({ finding: index, picked: null, at: null });
    revealState();
    byId("drawing").scrollIntoView({ block: "nearest" });
  }

  function pick(type, index) {
    change({ picked: { type, index } });
    byId("picked").scrollIntoView({ block: "nearest" });
  }

  function jump(at) {
    change({ at: Number.isFinite(at) ? within(at, 0, run.until_ms / 1000) : null });
    if (state.at !== null) reveal(state.at * 1000, []);
  }

  function zoomTo(zoom) {
    if (Number.isFinite(zoom)) change({ zoom: within(zoom, ZOOM.least, ZOOM.most) });
  }

  // ---- header and controls -----------------------------------------------

  function buildHeader() {
    byId("title").textContent = run.title;
    byId("command").textContent = run.again;
    const budget = Number.isFinite(run.pause_budget_ms) ? `, pause budget ${seconds(run.pause_budget_ms)}` : "";
    byId("facts").textContent = `${run.nodes.length} nodes, ${seconds(run.until_ms, 0)}${budget}`;
    const dropped = run.dropped_messages > 0 ? `, ${run.dropped_messages.toLocaleString("en")} left out` : "";
    byId("message-count").textContent = `${run.messages.length.toLocaleString("en")}${dropped}`;
    byId("findings").replaceChildren(...run.findings.map(findingButton));
    if (run.findings.length === 0) byId("findings").append(element("li", { className: "quiet" }, "No finding: every check passed."));
  }

  function findingButton(finding, index) {
    const when = finding.at_ms === null ? "whole run" : seconds(finding.at_ms);
    const button = element("button", { type: "button", id: `finding-${index}` },
      element("span", { className: "when" }, when),
      element("span", {}, element("strong", {}, finding.check), element("span", { className: "what" }, finding.what)));
    button.addEventListener("click", () => selectFinding(index));
    return element("li", {}, button);
  }

  function checkbox(value, children, onChange) {
    const input = element("input", { type: "checkbox", value });
    input.addEventListener("change", onChange);
    return element("label", { className: "chip" }, input, ...children);
  }

  const ticked = (id) => [...byId(id).querySelectorAll("input:checked")].map((input) => input.value);

  function buildFilters() {
    const counts = new Map();
    for (const { kind } of run.events) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const showNodes = () => change({ nodes: ticked("node-list").map(Number) });
    const showKinds = () => change({ kinds: new Set(ticked("kinds")) });
    byId("node-list").replaceChildren(...run.nodes.map((name, node) => checkbox(node, [element("span", {}, name)], showNodes)));
    byId("kinds").replaceChildren(
      ...allKinds().map((kind) => checkbox(kind, [Picture.glyph(kind), element("span", {}, spoken(kind)), element("small", {}, String(counts.get(kind)))], showKinds)),
      action("All", () => change({ kinds: new Set(allKinds()) })),
      action("None", () => change({ kinds: new Set() })));
    const faultKinds = [...new Set(run.faults.map((fault) => fault.kind))].sort();
    byId("legend").replaceChildren(...faultKinds.map((kind) => element("span", {}, swatch(kind), spoken(kind))));
  }

  const swatch = (kind) => element("i", { className: `swatch ${Picture.faultClass(kind)}` });

  function action(label, onClick) {
    const button = element("button", { type: "button" }, label);
    button.addEventListener("click", onClick);
    return button;
  }

  function showControls() {
    byId("node-count").textContent = `${state.nodes.length} of ${run.nodes.length}`;
    for (const input of byId("node-list").querySelectorAll("input")) input.checked = state.nodes.includes(Number(input.value));
    for (const input of byId("kinds").querySelectorAll("input")) input.checked = state.kinds.has(input.value);
    run.findings.forEach((_, index) => byId(`finding-${index}`).setAttribute("aria-pressed", index === state.finding));
    byId("messages").checked = state.messages;
    byId("zoom").value = Number(state.zoom.toFixed(2));
    byId("jump").value = state.at ?? "";
  }

  // ---- the side panel ----------------------------------------------------

  const name = (node) => (node === null ? "all nodes" : run.nodes[node]);

  function span(from, to) {
    const end = to === null ? "to the end of the run" : `to ${seconds(to, 3)}`;
    return `${seconds(from, 3)} ${end}, ${seconds((to ?? run.until_ms) - from, 3)} in all`;
  }

  function pauseNote(fault) {
    if (fault.kind !== "pause" || !Number.isFinite(run.pause_budget_ms)) return "";
    const short = (fault.to_ms ?? run.until_ms) - fault.from_ms <= run.pause_budget_ms;
    return `${short ? "within" : "longer than"} the pause budget of ${seconds(run.pause_budget_ms)}`;
  }

  const CARDS = {
    event: (event) => ({
      mark: Picture.glyph(event.kind), title: spoken(event.kind), evidence: event.details,
      rows: [["at", seconds(event.at_ms, 3)], ["told by", name(event.node)], ["about", event.about === null ? "" : name(event.about)], ["says", event.text]],
    }),
    fault: (fault) => ({
      mark: swatch(fault.kind), title: fault.label,
      rows: [["fault", spoken(fault.kind)], ["nodes", concernsAll(run, fault) ? "all nodes" : fault.nodes.map(name).join(", ")], ["span", span(fault.from_ms, fault.to_ms)], ["note", pauseNote(fault)]],
    }),
    mark: (mark) => ({ title: mark.label, rows: [["at", seconds(mark.at_ms, 3)], ["node", name(mark.node)]] }),
    message: (message) => ({
      title: message.arrived_ms === null ? "message, lost" : "message",
      rows: [["from", name(message.from)], ["to", name(message.to)], ["sent", seconds(message.sent_ms, 4)],
        ["arrived", message.arrived_ms === null ? "never" : `${seconds(message.arrived_ms, 4)}, after ${(message.arrived_ms - message.sent_ms).toFixed(1)} ms`],
        ["size", `${message.bytes} bytes`], ["stands for", message.count > 1 ? `${message.count} messages` : ""]],
    }),
  };

  function showPicked() {
    for (const item of document.querySelectorAll(".picked")) item.classList.remove("picked");
    byId("picked").replaceChildren();
    if (!state.picked) return;
    const { type, index } = state.picked;
    byId(`${type}-${index}`)?.classList.add("picked");
    const card = CARDS[type](run[PICKED[type]][index]);
    const close = action("Close", () => change({ picked: null }));
    const rows = card.rows.filter(([, value]) => value !== "").flatMap(([term, value]) => [element("dt", {}, term), element("dd", {}, value)]);
    byId("picked").append(
      element("div", { className: "card-head" }, card.mark ?? "", element("h2", {}, card.title), close),
      element("dl", {}, ...rows));
    if (card.evidence) byId("picked").append(element("h3", {}, "Evidence"), element("pre", { tabIndex: 0 }, card.evidence));
  }

  /** The causes of the selected finding, and starts, ends and marks of its nodes, in order of time. */
  function storyLines() {
    const concerned = (node) => node !== null && (node === focus.by || node === focus.about);
    const inWindow = (at) => at !== null && at >= focus.from && at <= focus.at;
    const lines = [];
    for (const index of focus.faults) lines.push({ type: "fault", index, at: run.faults[index].from_ms, text: run.faults[index].label });
    for (const index of focus.events) lines.push({ type: "event", index, at: run.events[index].at_ms, text: run.events[index].text });
    run.marks.forEach((mark, index) => {
      if (concerned(mark.node) && inWindow(mark.at_ms)) lines.push({ type: "mark", index, at: mark.at_ms, text: `${name(mark.node)} ${mark.label}` });
    });
    for (const life of run.lives.filter((life) => concerned(life.node))) {
      if (life.from_ms > 0 && inWindow(life.from_ms)) lines.push({ at: life.from_ms, text: `${name(life.node)} starts` });
      if (inWindow(life.to_ms)) lines.push({ at: life.to_ms, text: `${name(life.node)} ${{ crash: "crashes", leave: "leaves" }[life.end] ?? "stops"}` });
    }
    return lines.sort((a, b) => a.at - b.at);
  }

  function storyItem(line) {
    const { type, index, at, text } = line;
    const sign = type === "event" ? Picture.glyph(run.events[index].kind) : type === "fault" ? swatch(run.faults[index].kind) : element("i", { className: "sign" });
    const parts = [element("span", { className: "when" }, seconds(at)), sign, element("span", {}, text, element("small", {}, storyNote(line)))];
    if (!type) return element("li", {}, element("span", { className: "line" }, ...parts));
    const button = element("button", { type: "button", className: "line" }, ...parts);
    button.addEventListener("click", () => {
      pick(type, index);
      revealEntry(state.picked);
    });
    return element("li", { className: type === "mark" ? "" : "counts" }, button);
  }

  function storyNote({ type, index, at }) {
    const hidden = type && !byId(`${type}-${index}`) ? "hidden by the filters" : "";
    const before = `${seconds(focus.at - at)} before`;
    if (type !== "fault") return [at < focus.at ? before : "at this moment", hidden].filter(Boolean).join(", ");
    const fault = run.faults[index];
    const over = fault.to_ms === null || fault.to_ms > focus.at ? "still going on" : `over ${seconds(focus.at - fault.to_ms)} before`;
    const where = concernsAll(run, fault) ? "all nodes" : fault.nodes.length > 3 ? `${fault.nodes.length} nodes` : fault.nodes.map(name).join(" and ");
    return [where, `lasts ${seconds((fault.to_ms ?? run.until_ms) - fault.from_ms)}`, over, pauseNote(fault), hidden].filter(Boolean).join(", ");
  }

  function showStory() {
    const story = byId("story");
    story.replaceChildren();
    if (!focus) {
      story.append(element("p", { className: "quiet" }, "Pick a finding to see what led to it, or an event to see its evidence."));
      return;
    }
    const finding = run.findings[state.finding];
    story.append(element("h2", {}, "What led to it"), element("p", { className: "what" }, finding.what));
    const concerned = allNodes().filter((node) => node === focus.by || node === focus.about);
    if (concerned.length > 0 && String(concerned) !== String(state.nodes)) {
      story.append(action(`Show only ${concerned.map(name).join(" and ")}`, () => { change({ nodes: concerned }); revealState(); }));
    }
    if (focus.at === null) {
      story.append(element("p", { className: "quiet" }, "This finding is about the whole run; it has no moment to look back from."));
      return;
    }
    const lines = storyLines();
    const told = focus.by === null || focus.about === null ? "the events they report" : `what ${name(focus.by)} said of ${name(focus.about)}`;
    const text = `Faults of the nodes concerned and ${told}, in the ${seconds(focus.at - focus.from, 0)} before ${seconds(focus.at)}.`;
    story.append(element("p", { className: "quiet" }, text));
    story.append(lines.length ? element("ol", {}, ...lines.map(storyItem)) : element("p", {}, "Nothing on record: no fault, no event."));
  }

  // ---- what the reader does ----------------------------------------------

  function pickTarget(target) {
    const [type, index] = target.id.split("-");
    oneTabStop(target);
    pick(type, Number(index));
  }

  function onDrawingClick(event) {
    const item = event.target.closest(".item");
    if (item) return pickTarget(item);
    const corner = byId("lanes").getBoundingClientRect();
    const message = Picture.messageAt(event.clientX - corner.left, event.clientY - corner.top);
    return message === null ? undefined : pick("message", message);
  }

  function onDrawingKey(event) {
    const item = event.target.closest(".item");
    if (!item || !["Enter", " ", "ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
    event.preventDefault();
    if (!event.key.startsWith("Arrow")) return pickTarget(item);
    const next = Picture.neighbour(item, event.key);
    if (!next) return;
    oneTabStop(next);
    next.focus();
  }

  function onKey(event) {
    if (event.target.matches("input") && event.target.type === "number") return;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") zoomTo(state.zoom * ZOOM.step);
    if (event.key === "-") zoomTo(state.zoom / ZOOM.step);
    if (event.key !== "Escape") return;
    if (byId("node-picker").open) byId("node-picker").open = false;
    else if (state.picked) change({ picked: null });
  }

  async function copyCommand() {
    const button = byId("copy");
    try {
      await navigator.clipboard.writeText(run.again);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(byId("command"));
      button.textContent = "Press Ctrl+C";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  function listen() {
    const on = (id, type, handler) => byId(id).addEventListener(type, handler);
    on("tools", "submit", (event) => event.preventDefault());
    on("copy", "click", copyCommand);
    on("nodes-all", "click", () => change({ nodes: allNodes() }));
    on("nodes-none", "click", () => change({ nodes: [] }));
    on("messages", "change", (event) => change({ messages: event.target.checked }));
    on("zoom", "change", (event) => zoomTo(event.target.valueAsNumber));
    on("zoom-in", "click", () => zoomTo(state.zoom * ZOOM.step));
    on("zoom-out", "click", () => zoomTo(state.zoom / ZOOM.step));
    on("zoom-fit", "click", () => zoomTo(fittingZoom()));
    on("jump", "change", (event) => jump(event.target.valueAsNumber));
    on("drawing", "click", onDrawingClick);
    on("drawing", "keydown", onDrawingKey);
    document.addEventListener("keydown", onKey);
    document.addEventListener("click", (event) => { if (!byId("node-picker").contains(event.target)) byId("node-picker").open = false; });
    addEventListener("hashchange", showHash);
    addEventListener("resize", redraw);
  }

  function showHash() {
    state = stateFromHash();
    redraw();
    revealState();
  }

  function start() {
    run = Run.read(byId("run").textContent);
    buildHeader();
    buildFilters();
    listen();
    showHash();
    document.body.dataset.ready = "true";
  }

  try {
    start();
  } catch (error) {
    document.body.dataset.error = error.message;
    byId("error").textContent = `This run cannot be drawn. ${error.message}`;
    byId("error").hidden = false;
  }
})();
