// The picture of one run: where things go. The scales of lanes and time, the
// columns of faults that overlap, and the room for labels; nothing is drawn here.
const Places = (() => {
  "use strict";

  const { concernsAll } = Run;
  const TOP = 16; // pixels above time zero
  const BOTTOM = 48; // pixels below the end of the run
  const AXIS = 58; // width of the axis without its strips
  const STRIP = 18; // width of one strip for faults of all nodes
  const LETTER = 6; // width of a letter of a label, about
  const LINE = 13; // labels of a lane are this far apart at least
  const WIDE_FROM_ZOOM = 40; // from here on lanes have room for labels

  function fit(text, pixels) {
    const letters = Math.floor(pixels / LETTER);
    if (text.length <= letters) return text;
    return letters < 4 ? "" : `${text.slice(0, letters - 1)}…`;
  }

  /** A text in two lines at most, the second one cut where it is too long. */
  function wrap(text, pixels) {
    const letters = Math.floor(pixels / LETTER);
    const space = text.lastIndexOf(" ", letters);
    if (text.length <= letters || space < letters / 2) return [fit(text, pixels)];
    return [text.slice(0, space), fit(text.slice(space + 1), pixels)];
  }

  const overlap = (a, b) => a.from < b.to && b.from < a.to;

  /** Puts each span into the first column where it clashes with no other. */
  function columnsOf(spans, clash) {
    const columns = [];
    spans.forEach((span, i) => {
      const taken = new Set(spans.slice(0, i).map((other, j) => (clash(span, other) ? columns[j] : -1)));
      let column = 0;
      while (taken.has(column)) column += 1;
      columns.push(column);
    });
    return columns;
  }

  /** Everything the drawing needs to know about places: x of a node, y of a time. */
  function scalesFor(run, shown, zoom, width) {
    const spans = run.faults.map((fault, index) => {
      const lanes = fault.nodes.map((node) => shown.indexOf(node)).filter((lane) => lane >= 0);
      return { fault, index, from: fault.from_ms, to: Math.min(fault.to_ms ?? run.until_ms, run.until_ms), lanes: lanes.sort((a, b) => a - b) };
    });
    const strips = spans.filter((span) => concernsAll(run, span.fault));
    const bands = spans.filter((span) => !concernsAll(run, span.fault) && span.lanes.length > 0);
    const stripColumns = columnsOf(strips, overlap);
    const axisWidth = AXIS + STRIP * (strips.length ? Math.max(...stripColumns) + 1 : 0);
    const longest = Math.max(...run.nodes.map((name) => name.length));
    const least = zoom >= WIDE_FROM_ZOOM ? 150 : Math.max(36, Math.min(90, longest * 7 + 8));
    const share = (width - axisWidth - 2) / Math.max(1, shown.length);
    const laneWidth = Math.max(least, Math.min(320, share));
    const line = Math.min(laneWidth / 2, 34);
    const laneOf = new Map(shown.map((node, lane) => [node, lane]));
    return {
      shown, strips, stripColumns, bands, axisWidth, laneWidth, line, laneOf, zoom,
      left: (lane) => lane * laneWidth,
      x: (node) => laneOf.get(node) * laneWidth + line,
      y: (ms) => TOP + (ms / 1000) * zoom,
      time: (y) => ((y - TOP) / zoom) * 1000,
      width: Math.max(1, shown.length * laneWidth),
      height: TOP + (run.until_ms / 1000) * zoom + BOTTOM,
    };
  }

  /** Hands out room for labels: false where another label of the lane is too near. */
  function labelRoom() {
    const taken = new Map();
    return (lane, y) => {
      if (!taken.has(lane)) taken.set(lane, []);
      const others = taken.get(lane);
      if (others.some((other) => Math.abs(other - y) < LINE)) return false;
      others.push(y);
      return true;
    };
  }

  function tickStep(zoom) {
    const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600];
    return steps.find((step) => step * zoom >= 56) ?? 1800;
  }

  /** Neighbouring lanes are covered by one rectangle: [first lane, last lane]. */
  function runsOf(lanes) {
    const runs = [];
    for (const lane of lanes) {
      const open = runs.at(-1);
      if (open && lane <= open[1] + 1) open[1] = lane;
      else runs.push([lane, lane]);
    }
    return runs;
  }

  return { AXIS, STRIP, LETTER, LINE, fit, wrap, overlap, columnsOf, scalesFor, labelRoom, tickStep, runsOf };
})();
