// The picture of one run: its data. Checks that it can be drawn, says in words
// what is wrong with it if not, and finds what may have led to a finding.
const Run = (() => {
  "use strict";

  const CAUSE_WINDOW_MS = 45_000; // how far back the causes of a finding are looked for
  // The lists of a run; their fields that hold a node or a time ("?" = may be null).
  const LISTS = {
    findings: { nodes: ["by?", "about?"], times: ["at_ms?"], texts: ["check", "what"] },
    lives: { nodes: ["node"], times: ["from_ms", "to_ms?"], texts: [] },
    faults: { nodes: [], times: ["from_ms", "to_ms?"], texts: ["kind", "label"] },
    marks: { nodes: ["node?"], times: ["at_ms"], texts: ["label"] },
    messages: { nodes: ["from", "to"], times: ["sent_ms", "arrived_ms?"], texts: [] },
    events: { nodes: ["node", "about?"], times: ["at_ms"], texts: ["kind", "text"] },
  };

  const seconds = (ms, digits = 1) => `${(ms / 1000).toFixed(digits)} s`;
  const spoken = (kind) => kind.replaceAll("_", " ");
  const isNode = (value, count) => Number.isInteger(value) && value >= 0 && value < count;

  /** Whether a fault is one of all nodes: it names none, or every one. */
  function concernsAll(run, fault) {
    const named = new Set(fault.nodes).size;
    return named === 0 || named === run.nodes.length;
  }

  /** A sentence that says why the data cannot be drawn, or null. */
  function problemWith(data) {
    if (data === null || typeof data !== "object") return "The data of this page is not a run.";
    if (!Array.isArray(data.nodes) || data.nodes.length === 0) return "The run names no nodes.";
    if (data.nodes.some((name) => typeof name !== "string")) return "The run has a node whose name is not a text.";
    if (!(data.until_ms > 0)) return "The run does not say when it ends (until_ms).";
    for (const [list, fields] of Object.entries(LISTS)) {
      if (!Array.isArray(data[list])) return `The run has no list of ${list}.`;
      const index = data[list].findIndex((entry) => wrongField(entry, fields, data.nodes.length));
      if (index >= 0) return `Entry ${index} of the ${list} is wrong: ${wrongField(data[list][index], fields, data.nodes.length)}.`;
    }
    const stray = data.faults.findIndex(({ nodes }) => !Array.isArray(nodes) || !nodes.every((node) => isNode(node, data.nodes.length)));
    return stray < 0 ? null : `Entry ${stray} of the faults is wrong: its nodes are not nodes of the run.`;
  }

  function wrongField(entry, { nodes, times, texts }, count) {
    if (entry === null || typeof entry !== "object") return "it is not an object";
    const fails = (field, test) => !test(entry[field.replace("?", "")]) && !(field.endsWith("?") && entry[field.slice(0, -1)] === null);
    const node = nodes.find((field) => fails(field, (value) => isNode(value, count)));
    if (node) return `"${node.replace("?", "")}" is not a node of the run`;
    const time = times.find((field) => fails(field, Number.isFinite));
    if (time) return `"${time.replace("?", "")}" is not a time`;
    const text = texts.find((field) => typeof entry[field] !== "string");
    return text ? `"${text}" is not a text` : null;
  }

  function read(text) {
    let data;
    try {
      data = JSON.parse(text);
    } catch (error) {
      throw new Error(`The data of this page is not valid JSON: ${error.message}.`);
    }
    const problem = problemWith(data);
    if (problem) throw new Error(problem);
    return data;
  }

  /** What a finding is about, and the faults and events that may have led to it. */
  function focusOn(run, index) {
    const finding = run.findings[index];
    if (!finding) return null;
    const { by, about, at_ms: at } = finding;
    const focused = { by, about, at, from: null, faults: new Set(), events: new Set() };
    if (at === null) return focused;
    focused.from = Math.max(0, at - CAUSE_WINDOW_MS);
    const anyNode = by === null && about === null;
    run.faults.forEach((fault, i) => {
      const touches = anyNode || concernsAll(run, fault) || fault.nodes.includes(by) || fault.nodes.includes(about);
      if (touches && fault.from_ms <= at && (fault.to_ms ?? Infinity) >= focused.from) focused.faults.add(i);
    });
    run.events.forEach((event, i) => {
      const matches = !anyNode && (by === null || event.node === by) && (about === null || event.about === about);
      if (matches && event.at_ms >= focused.from && event.at_ms <= at) focused.events.add(i);
    });
    return focused;
  }

  return { read, focusOn, concernsAll, seconds, spoken };
})();
