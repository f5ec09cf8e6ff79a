// How long stages took: distributions on a logarithmic axis of time, several operations over each other, and a table of percentiles.

const OVERLAID = 8;
const VIEWS = [['cdf', 'Cumulative'], ['tail', 'Tail'], ['histogram', 'Histogram']];
/** Bars of a histogram in a power of ten. */
const BINS = 12;

const pairKey = (latency) => `${latency.from} → ${latency.to}`;

function latencies(profiles) {
  const all = profiles.flatMap(({ name, data }) => data.operations.flatMap((operation) => operation.latencies.map((latency) => ({
    name: profiles.length > 1 ? `${operation.name} (${name})` : operation.name, profile: name, operation: operation.name, latency, pair: pairKey(latency),
  }))));
  if (all.length === 0) return h('p', { class: 'empty' }, 'No two stages of an invalidation were seen, so there is no time between them.');
  const sums = new Map();
  for (const { pair, latency } of all) sums.set(pair, (sums.get(pair) ?? 0) + latency.count);
  const pairs = [...sums].sort((a, b) => b[1] - a[1]);
  const at = { pair: sums.has('start → end') ? 'start → end' : pairs[0][0], view: 'cdf', on: new Set(), cursor: null };
  const colours = new Map();
  const drawing = svg('svg', { class: 'plot', 'aria-hidden': 'true' });
  const stage = h('div', { class: 'stage plot-stage', tabindex: '0', role: 'application', 'aria-label': 'Distribution of latencies. Left and right move the cursor; the values are read out below.' }, drawing);
  const readOut = h('div', { class: 'read-out', 'aria-live': 'polite' });
  const series = h('div', { class: 'filters serieses', role: 'group', 'aria-label': 'Operations shown' });
  let shape = null;

  const here = () => all.filter(({ pair }) => pair === at.pair).sort((a, b) => b.latency.count - a.latency.count);
  function choosePair(pair) {
    at.pair = pair;
    at.cursor = null;
    const mine = here();
    const known = mine.filter(({ name }) => at.on.has(name));
    // The most frequent operations, in every recording, so that these can be compared.
    const usual = [...new Set(mine.map(({ operation }) => operation))].slice(0, profiles.length > 1 ? 2 : 4);
    const first = mine.filter(({ operation }) => usual.includes(operation)).slice(0, OVERLAID);
    at.on = new Set((known.length ? known : first).map(({ name }) => name));
    const chosen = at.on;
    for (const { name } of [...mine].sort((a, b) => chosen.has(b.name) - chosen.has(a.name))) if (!colours.has(name)) colours.set(name, colours.size % OVERLAID);
    series.replaceChildren(...[...mine].sort((a, b) => chosen.has(b.name) - chosen.has(a.name)).map(({ name, latency }) => {
      return h('button', {
        type: 'button', class: 'filter series', 'data-series': colours.get(name), 'data-kind': name, 'aria-pressed': String(chosen.has(name)),
        onclick() {
          if (chosen.has(name)) chosen.delete(name);
          else if (chosen.size >= OVERLAID) return say(`At most ${OVERLAID} at once: take one away first`);
          else chosen.add(name);
          this.setAttribute('aria-pressed', String(chosen.has(name)));
          draw();
        },
      }, sample(colours.get(name)), name, h('span', { class: 'n' }, count(latency.count)));
    }));
    draw();
  }
  const sample = (n) => svg('svg', { class: 'sample', viewBox: '0 0 22 8', 'aria-hidden': 'true' }, svg('line', { x1: 0, x2: 22, y1: 4, y2: 4, 'data-series': n, 'stroke-dasharray': DASHES[n] }));

  const share = (latency, ns) => {
    let below = 0;
    for (const [bound, n] of latency.histogram) {
      if (bound > ns) break;
      below += n;
    }
    return below / latency.count;
  };
  function points({ latency }, y) {
    const steps = [];
    if (at.view === 'histogram') {
      const bins = new Map();
      for (const [bound, n] of latency.histogram) {
        const bin = Math.floor(Math.log10(Math.max(1, bound)) * BINS);
        bins.set(bin, (bins.get(bin) ?? 0) + n);
      }
      const known = [...bins.keys()];
      for (let bin = Math.min(...known) - 1; bin <= Math.max(...known) + 1; bin += 1) steps.push([10 ** (bin / BINS), y((bins.get(bin) ?? 0) / latency.count)]);
      return steps;
    }
    let below = 0;
    const of = (n) => at.view === 'tail' ? 1 - n / latency.count : n / latency.count;
    steps.push([Math.max(1, latency.min_ns), y(of(0))]);
    for (const [bound, n] of latency.histogram) {
      below += n;
      steps.push([Math.max(1, bound), y(of(below))]);
    }
    return steps;
  }
  function draw() {
    const mine = here().filter(({ name }) => at.on.has(name));
    const width = Math.max(stage.clientWidth || 900, 280);
    const [height, left, right, top, bottom] = [300, 52, 16, 12, 34];
    const least = Math.min(...mine.map(({ latency }) => Math.max(1, latency.min_ns)), Infinity);
    const most = Math.max(...mine.map(({ latency }) => Math.max(1, latency.max_ns)), 0);
    const [from, to] = mine.length ? [Math.log10(least) - 0.08, Math.log10(Math.max(most, least * 1.5)) + 0.08] : [2, 6];
    const x = (ns) => left + (Math.log10(ns) - from) / (to - from) * (width - left - right);
    const largest = mine.reduce((sum, { latency }) => Math.max(sum, latency.count), 1);
    const floor = 10 ** -Math.ceil(Math.log10(Math.max(10, largest)));
    let highest = 0;
    if (at.view === 'histogram') for (const one of mine) for (const [, value] of points(one, (v) => v)) highest = Math.max(highest, value);
    const high = at.view === 'histogram' ? highest * 1.08 || 1 : 1;
    const y = (value) => at.view === 'tail'
      ? top + (1 - (Math.log10(Math.max(value, floor)) - Math.log10(floor)) / -Math.log10(floor)) * (height - top - bottom)
      : top + (1 - value / high) * (height - top - bottom);
    const parts = [];
    const rows = at.view === 'tail' ? Array.from({ length: -Math.round(Math.log10(floor)) + 1 }, (_, n) => 10 ** -n) : ticks(0, high, 5).values;
    for (const value of rows) parts.push(svg('line', { class: 'grid', x1: left, x2: width - right, y1: y(value), y2: y(value) }), svg('text', { class: 'tick', x: left - 6, y: y(value) + 4, 'text-anchor': 'end' }, at.view === 'tail' ? (value >= 0.001 ? `${+(value * 100).toPrecision(2)} %` : `10${[...String(Math.round(Math.log10(value)))].map((c) => c === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[c]).join('')}`) : `${Math.round(value * 100)} %`));
    for (let power = Math.floor(from); power <= Math.ceil(to); power += 1) {
      for (const n of to - from < 3.6 ? [1, 2, 5] : [1]) {
        const ns = n * 10 ** power;
        if (Math.log10(ns) < from || Math.log10(ns) > to) continue;
        parts.push(svg('line', { class: 'grid', x1: x(ns), x2: x(ns), y1: top, y2: height - bottom }), svg('text', { class: 'tick', x: x(ns), y: height - bottom + 18, 'text-anchor': 'middle' }, nanoseconds(ns).replace('.0 ', ' ')));
      }
    }
    parts.push(svg('line', { class: 'axis', x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }));
    for (const one of mine) {
      const steps = points(one, y);
      let path = `M${x(steps[0][0]).toFixed(1)} ${steps[0][1].toFixed(1)}`;
      for (const [ns, value] of steps.slice(1)) path += `H${x(ns).toFixed(1)}V${value.toFixed(1)}`;
      const n = colours.get(one.name);
      if (at.view === 'histogram') parts.push(svg('path', { class: 'area', 'data-series': n, d: `${path}V${y(0)}H${x(steps[0][0])}Z` }));
      parts.push(svg('path', { class: 'curve', 'data-series': n, d: path, 'stroke-dasharray': DASHES[n] }));
    }
    if (at.cursor !== null && mine.length) {
      at.cursor = Math.min(Math.max(at.cursor, from), to);
      const ns = 10 ** at.cursor;
      parts.push(svg('line', { class: 'cursor', x1: x(ns), x2: x(ns), y1: top, y2: height - bottom }));
      if (at.view !== 'histogram') for (const one of mine) parts.push(svg('circle', { class: 'dot', 'data-series': colours.get(one.name), cx: x(ns), cy: y(at.view === 'tail' ? 1 - share(one.latency, ns) : share(one.latency, ns)), r: 4 }));
      readOut.replaceChildren(h('b', null, `At most ${nanoseconds(ns)}: `), ...mine.map((one) => h('span', { class: 'value' }, sample(colours.get(one.name)), `${one.name} ${percent(share(one.latency, ns))}`)));
    } else readOut.replaceChildren(mine.length ? 'Point at the curves, or use ← and →, to read values.' : 'Choose an operation.');
    drawing.setAttribute('viewBox', `0 0 ${width} ${height}`);
    drawing.setAttribute('height', height);
    drawing.replaceChildren(...parts);
    shape = { left, right, width, from, to };
  }
  const move = (event) => {
    const { left, right, width, from, to } = shape;
    at.cursor = from + (event.clientX - stage.getBoundingClientRect().left - left) / (width - left - right) * (to - from);
    draw();
  };
  stage.addEventListener('pointermove', move);
  stage.addEventListener('pointerdown', move);
  stage.addEventListener('pointerleave', () => { at.cursor = null; draw(); });
  stage.addEventListener('keydown', (event) => {
    const by = { ArrowLeft: -0.01, ArrowRight: 0.01 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    at.cursor = (at.cursor ?? (shape.from + shape.to) / 2) + by * (shape.to - shape.from);
    draw();
  });
  new ResizeObserver(draw).observe(stage);
  const node = h('div', { class: 'latencies' },
    h('div', { class: 'tools' }, select('Between', pairs.map(([pair, n]) => [pair, `${pair} (${count(n)})`]), at.pair, choosePair), choice('View', VIEWS, at.view, (view) => { at.view = view; draw(); })),
    series, h('div', { class: 'chart' }, stage, readOut), percentiles(all, profiles.length > 1));
  choosePair(at.pair);
  return node;
}

function percentiles(all, several) {
  const [least, most] = [Math.min(...all.map(({ latency }) => Math.max(1, latency.min_ns))), Math.max(...all.map(({ latency }) => Math.max(2, latency.max_ns)))];
  const x = (ns) => Math.log(Math.max(1, ns) / least) / Math.log(most / least) * 118 + 1;
  const box = ({ latency: { min_ns, p50_ns, p90_ns, p99_ns, max_ns } }) => svg('svg', { class: 'box', viewBox: '0 0 120 14', role: 'img', 'aria-label': 'From the least to the most, on a logarithmic axis' },
    svg('line', { x1: x(min_ns), x2: x(max_ns), y1: 7, y2: 7 }), svg('rect', { x: x(p50_ns), width: Math.max(1.5, x(p90_ns) - x(p50_ns)), y: 3, height: 8 }), svg('line', { class: 'tail', x1: x(p99_ns), x2: x(p99_ns), y1: 2, y2: 12 }));
  const time = (title, about, of) => ({ title, about, number: true, value: ({ latency }) => of(latency), cell: ({ latency }) => nanoseconds(of(latency)) });
  return table({
    caption: 'Latencies', unit: 'latency', rows: all, first: 24, sort: { column: several ? 3 : 2, down: true },
    columns: [
      { title: 'operation', value: ({ operation }) => operation },
      several && { title: 'recording', value: ({ profile }) => profile },
      { title: 'between', value: ({ pair }) => pair, cell: ({ latency }) => h('span', { class: 'chain' }, chip(latency.from), chip(latency.to)) },
      { title: 'count', number: true, value: ({ latency }) => latency.count, cell: ({ latency }) => exact(latency.count) },
      time('min', 'The least', (latency) => latency.min_ns), time('p50', 'Half of all are at most this', (latency) => latency.p50_ns), time('p90', 'Nine of ten', (latency) => latency.p90_ns),
      time('p99', '99 of 100', (latency) => latency.p99_ns), time('max', 'The most', (latency) => latency.max_ns), time('mean', 'The mean', (latency) => latency.total_ns / latency.count),
      { title: 'spread', about: 'From min to max; the box is p50 to p90, the stroke p99', cell: box },
      { title: 'over time', about: 'The median of each 64th of the recording', cell: ({ latency }) => spark(latency.batch_medians_ns) },
    ].filter(Boolean),
  });
}

/** A line of the medians of equal parts of a recording. */
function spark(values) {
  const known = values.filter((value) => value !== null);
  if (known.length < 2) return missing;
  const [least, most] = [Math.min(...known), Math.max(...known)];
  let path = '';
  values.forEach((value, n) => {
    if (value === null) return;
    path += `${path === '' || values[n - 1] === null ? 'M' : 'L'}${(n / (values.length - 1) * 88 + 1).toFixed(1)} ${(13 - (most > least ? (value - least) / (most - least) : 0.5) * 12).toFixed(1)}`;
  });
  return svg('svg', { class: 'spark', viewBox: '0 0 90 14', role: 'img', 'aria-label': `Medians from ${nanoseconds(least)} to ${nanoseconds(most)}` }, svg('path', { d: path }));
}
