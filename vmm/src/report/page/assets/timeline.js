// One invalidation on a time axis: a lane for each thread on each CPU, a mark for each event.

const LANE = 46;
const TOP = 30;
const GUTTER = 168;
const NARROW_GUTTER = 96;

/** Pairs of stages on one thread that are worth a bar: what is between them. */
const SPANS = [
  ['enter', 'return', 'in the system call'],
  ['set-migration', 'remove-migration', 'a migration entry in its place'],
  ['fault', 'install', 'a fault until its entry was installed'],
];

function lanesOf(timeline) {
  const lanes = new Map();
  for (const event of timeline.events) {
    const key = JSON.stringify([event.thread, event.cpu]);
    if (!lanes.has(key)) lanes.set(key, { thread: event.thread, cpu: event.cpu, events: [] });
    lanes.get(key).events.push(event);
  }
  const own = (lane) => lane.thread === timeline.thread ? 0 : 1;
  return [...lanes.values()].sort((a, b) => own(a) - own(b) || a.events[0].at_us - b.events[0].at_us);
}

/** Bars of each lane: from the first stage to the next second one of the same thread. */
function spansOf(lanes) {
  const spans = [];
  for (const [from, to, says] of SPANS) {
    for (const thread of new Set(lanes.map((lane) => lane.thread))) {
      const mine = lanes.map((lane, row) => ({ lane, row })).filter(({ lane }) => lane.thread === thread);
      const events = mine.flatMap(({ lane, row }) => lane.events.map((event) => ({ event, row }))).sort((a, b) => a.event.at_us - b.event.at_us);
      let open = null;
      for (const { event, row } of events) {
        if (event.stage === from && !open) open = { from: event.at_us, row };
        if (event.stage === to && open) {
          spans.push({ stage: from, says, from: open.from, to: event.at_us, row: open.row });
          open = null;
        }
      }
    }
  }
  return spans;
}

/** The drawing. `home` is put into the page; `show(timeline)` draws another one. */
function timelineChart() {
  const drawing = svg('svg', { class: 'timeline', 'aria-hidden': 'true' });
  const said = h('p', { class: 'read-out' });
  const span = h('output', { class: 'span' });
  const button = (label, text, act) => h('button', { type: 'button', 'aria-label': label, title: label, onclick: act }, text);
  const tools = h('div', { class: 'tools zoom' },
    button('Zoom in', '+', () => zoom(0.5)), button('Zoom out', '−', () => zoom(2)), button('Earlier', '←', () => pan(-0.25)), button('Later', '→', () => pan(0.25)),
    button('Show all of it', 'Reset', reset), span,
    h('span', { class: 'hint' }, 'Drag to zoom, shift-drag to move, ctrl-wheel (or wheel, once it has the focus) to zoom, double-click to reset. Keys: + − ← → 0, and ↑ ↓ from event to event.'));
  const stage = h('div', { class: 'stage', tabindex: '0', role: 'application', 'aria-label': 'Timeline. Plus and minus zoom, left and right move, 0 shows all, up and down go from event to event.' }, drawing);
  const home = h('div', { class: 'chart' }, tools, stage, said);
  let now = null;

  function show(timeline) {
    const lanes = lanesOf(timeline);
    const times = timeline.events.map((event) => event.at_us);
    const [least, most] = [Math.min(0, ...times), Math.max(0, ...times)];
    const edge = Math.max((most - least) * 0.03, 0.01);
    const whole = [least - edge, most + edge];
    const events = lanes.flatMap((lane, row) => lane.events.map((event) => ({ event, row }))).sort((a, b) => a.event.at_us - b.event.at_us);
    now = { timeline, lanes, spans: spansOf(lanes), events, whole, view: [...whole], selected: -1, drag: null };
    said.textContent = 'Point at a mark, or press ↓, to read an event.';
    draw();
  }
  function set(from, to) {
    const [least, most] = now.whole;
    const size = Math.min(Math.max(to - from, 0.002), most - least);
    const begin = Math.min(Math.max(from, least), most - size);
    now.view = [begin, begin + size];
    draw();
  }
  function zoom(by, around) {
    const [from, to] = now.view;
    const middle = around ?? (from + to) / 2;
    set(middle - (middle - from) * by, middle + (to - middle) * by);
  }
  function pan(by) {
    const [from, to] = now.view;
    set(from + (to - from) * by, to + (to - from) * by);
  }
  function reset() {
    set(...now.whole);
  }
  const told = ({ event }) => [`${event.stage}: ${event.event}`, event.text, `${event.at_us < 0 ? '−' : '+'}${microseconds(Math.abs(event.at_us))} from the announcement, CPU ${event.cpu}, ${event.thread}`];
  function choose(n) {
    now.selected = Math.min(Math.max(n, 0), now.events.length - 1);
    const chosen = now.events[now.selected];
    if (!chosen) return;
    const [from, to] = now.view;
    if (chosen.event.at_us < from || chosen.event.at_us > to) set(chosen.event.at_us - (to - from) / 2, chosen.event.at_us + (to - from) / 2);
    else draw();
    said.textContent = told(chosen).filter(Boolean).join(' · ');
    say(`${now.selected + 1} of ${now.events.length}: ${said.textContent}`);
  }

  const gutter = () => stage.clientWidth < 640 ? NARROW_GUTTER : GUTTER;
  function geometry() {
    const width = Math.max(stage.clientWidth || 900, 280);
    const left = gutter();
    const [from, to] = now.view;
    const plot = width - left - 12;
    return { width, left, plot, x: (at) => left + (at - from) / (to - from) * plot, at: (x) => from + (x - left) / plot * (to - from) };
  }

  function draw() {
    const { width, left, plot, x } = geometry();
    const { lanes, spans, events, view: [from, to] } = now;
    const height = TOP + lanes.length * LANE + 14;
    const inside = fresh('clip');
    const parts = [svg('defs', null, svg('clipPath', { id: inside }, svg('rect', { x: left, y: 0, width: plot, height })))];
    const first = (name) => events.find(({ event }) => event.stage === name)?.event.at_us;
    const last = (name) => events.findLast(({ event }) => event.stage === name)?.event.at_us;
    const within = [];
    // Behind everything: while the change is announced, and while KVM lets nothing install.
    for (const [opens, name] of [['start', 'announced'], ['begin', 'no installs']]) {
      const [a, b] = [first(opens), last('end')];
      if (a !== undefined && b !== undefined && b >= a) {
        within.push(svg('rect', { class: 'window', 'data-stage': opens, x: x(a), y: TOP - 4, width: Math.max(1, x(b) - x(a)), height: lanes.length * LANE + 8 }));
        const middle = (Math.max(x(a), left) + Math.min(x(b), left + plot)) / 2;
        if (Math.min(x(b), left + plot) - Math.max(x(a), left) > 90 && opens === 'start') within.push(svg('text', { class: 'window-name', 'data-stage': opens, x: middle, y: height - 2, 'text-anchor': 'middle' }, name));
      }
    }
    const unit = to - from < 2 ? [1000, 'ns'] : to - from < 2000 ? [1, 'µs'] : [0.001, 'ms'];
    const { values, step } = ticks(from * unit[0], to * unit[0], plot / 90);
    const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    for (const value of values) {
      const at = x(value / unit[0]);
      within.push(svg('line', { class: 'grid', x1: at, x2: at, y1: TOP - 8, y2: height - 10 }));
      const end = at > left + plot - 26;
      within.push(svg('text', { class: 'tick', x: end ? left + plot : at, y: 14, 'text-anchor': end ? 'end' : at < left + 26 ? 'start' : 'middle' }, `${(value === 0 ? 0 : value).toFixed(Math.min(decimals, 3)).replace('-', '−')} ${unit[1]}`));
    }
    lanes.forEach((lane, row) => {
      const y = TOP + row * LANE;
      parts.push(svg('line', { class: 'lane', x1: 0, x2: width, y1: y + LANE, y2: y + LANE }));
      const fits = Math.floor(left / 7.2) - 1;
      const name = lane.thread.length > fits ? `${lane.thread.slice(0, fits - 1)}…` : lane.thread;
      parts.push(svg('text', { class: 'lane-name', x: 4, y: y + 20 }, name, svg('title', null, lane.thread)), svg('text', { class: 'lane-cpu', x: 4, y: y + 35 }, `CPU ${lane.cpu}`));
    });
    for (const { stage: name, says, from: a, to: b, row } of spans) {
      within.push(svg('rect', { class: 'bar', 'data-stage': name, x: x(a), y: TOP + row * LANE + 30, width: Math.max(2, x(b) - x(a)), height: 8, rx: 2 }, svg('title', null, `${says}: ${microseconds(b - a)}`)));
    }
    within.push(...marks(events, x, left, left + plot));
    if (now.drag?.kind === 'zoom') {
      const [a, b] = [now.drag.x, now.drag.to].sort((p, q) => p - q);
      within.push(svg('rect', { class: 'rubber', x: a, y: 18, width: b - a, height: height - 20 }));
    }
    parts.push(svg('g', { 'clip-path': `url(#${inside})` }, within));
    // Where in the whole this is.
    const [least, most] = now.whole;
    const at = (time) => left + (time - least) / (most - least) * plot;
    parts.push(svg('rect', { class: 'track', x: left, y: 20, width: plot, height: 3, rx: 1.5 }), svg('rect', { class: 'thumb', x: at(from), y: 20, width: Math.max(3, at(to) - at(from)), height: 3, rx: 1.5 }));
    drawing.setAttribute('viewBox', `0 0 ${width} ${height}`);
    drawing.setAttribute('height', height);
    drawing.replaceChildren(...parts);
    span.textContent = `${microseconds(to - from)} of ${microseconds(most - least)}`;
    stage.dataset.from = from;
    stage.dataset.to = to;
  }

  /** Marks from left to right; each has a name where the next one leaves room for it. */
  function marks(events, x, least, most) {
    const drawn = [];
    const ends = new Map();
    const rows = Map.groupBy ? Map.groupBy(events, ({ row }) => row) : events.reduce((map, one) => map.set(one.row, [...(map.get(one.row) ?? []), one]), new Map());
    for (const [row, mine] of rows) {
      mine.forEach((one, n) => {
        const { event } = one;
        const at = x(event.at_us);
        if (at < least - 8 || at > most + 8) return;
        const number = now.events.indexOf(one);
        const y = TOP + row * LANE + 17;
        const chosen = number === now.selected;
        // Those that lie on each other become one, unless it is chosen.
        const close = ends.get(row)?.at > at - 0.6 && ends.get(row)?.stage === event.stage;
        if (close && !chosen) return;
        ends.set(row, { at, stage: event.stage });
        const group = svg('g', { class: chosen ? 'mark chosen' : 'mark', 'data-stage': event.stage, 'data-event': number, transform: `translate(${at.toFixed(2)} ${y})` },
          chosen && svg('circle', { class: 'halo', r: 10 }), svg('rect', { class: 'reach', x: -8, y: -11, width: 16, height: 22 }), svg('path', { d: stageShape(event.stage), 'fill-rule': 'evenodd' }));
        const next = mine.slice(n + 1).find((other) => x(other.event.at_us) > at + 0.6);
        const room = Math.min(next ? x(next.event.at_us) - 8 : Infinity, most) - at - 9;
        if (room > event.stage.length * 6.4) group.append(svg('text', { x: 9, y: 4 }, event.stage));
        drawn.push(group);
      });
    }
    return drawn;
  }

  const place = (event) => (event.clientX - stage.getBoundingClientRect().left) + stage.scrollLeft;
  stage.addEventListener('wheel', (event) => {
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== stage) return;
    event.preventDefault();
    tip.hide();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan((event.deltaX || event.deltaY) / 800);
    else zoom(1.0016 ** event.deltaY, geometry().at(place(event)));
  }, { passive: false });
  stage.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || !now) return;
    stage.setPointerCapture(event.pointerId);
    now.drag = { kind: event.shiftKey ? 'pan' : 'zoom', x: place(event), to: place(event), view: [...now.view] };
  });
  stage.addEventListener('pointermove', (event) => {
    const drag = now?.drag;
    if (!drag) return hover(event);
    drag.to = place(event);
    if (drag.kind === 'pan') {
      const { plot } = geometry();
      const by = (drag.x - drag.to) / plot * (drag.view[1] - drag.view[0]);
      set(drag.view[0] + by, drag.view[1] + by);
    } else draw();
  });
  const drop = (event) => {
    const drag = now?.drag;
    if (!drag) return;
    now.drag = null;
    if (drag.kind === 'zoom' && Math.abs(drag.to - drag.x) > 5 && event.type === 'pointerup') {
      const { at } = geometry();
      const [a, b] = [at(drag.x), at(drag.to)].sort((p, q) => p - q);
      set(a, b);
    } else {
      const mark = document.elementFromPoint(event.clientX, event.clientY)?.closest?.('.mark');
      if (mark && drag.kind === 'zoom' && event.type === 'pointerup') choose(Number(mark.dataset.event));
      else draw();
    }
  };
  stage.addEventListener('pointerup', drop);
  stage.addEventListener('pointercancel', drop);
  stage.addEventListener('pointerleave', tip.hide);
  stage.addEventListener('dblclick', reset);
  function hover(event) {
    const mark = event.target.closest?.('.mark');
    if (mark && now) tip.show(told(now.events[Number(mark.dataset.event)]), event.clientX, event.clientY);
    else tip.hide();
  }
  stage.addEventListener('keydown', (event) => {
    const keys = { '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), ArrowLeft: () => pan(-0.1), ArrowRight: () => pan(0.1), 0: reset, Home: reset, ArrowDown: () => choose(now.selected + 1), ArrowUp: () => choose(now.selected - 1) };
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  new ResizeObserver(() => now && draw()).observe(stage);
  paper.push({ before() { if (now) { now.was = now.view; now.view = [...now.whole]; draw(); } }, after() { if (now?.was) { now.view = now.was; draw(); } } });
  return { home, show };
}
