// Two recordings compared: what is against the rules first, then what came, went and moved.

const CHANGE_TONES = { new: 'unproved', gone: 'unproved', more: 'unproved', fewer: 'unproved', spread: 'unproved', longer: 'unproved', shorter: 'unproved', same: 'held', unknown: 'skipped' };
const RULE_CHANGES = { same: 'nothing', broken: 'broken', 'broken-unasked': 'broken', mended: 'held', asked: 'held', unasked: 'skipped' };
const times = (value) => value === null ? missing : value < 99.95 ? value.toFixed(2) : value.toFixed(0);
const chance = (value) => value === null ? missing : value >= 0.001 ? value.toFixed(3) : value.toExponential(0);
const between = (low, high) => low === null && high === null ? missing : `${low === null ? '∞' : times(low)} … ${high === null ? '∞' : times(high)}`;

/** What makes it relevant. */
function relevant(report) {
  const orders = report.operations.flatMap((operation) => operation.orders.filter((order) => order.relevant).map((order) => h('article', { class: 'finding' },
    h('h4', null, badge('new', 'broken'), ' ', h('code', null, operation.name)), h('p', null, chain(order.order)),
    h('p', null, `${exact(order.b.invalidations)} of ${exact(operation.invalidations_b)} invalidations in B, none of ${exact(operation.invalidations_a)} in A.`),
    order.inversions.filter((one) => one.counts && one.invalidations_a === 0).map((one) => h('p', null, h('b', null, one.says), `: ${one.why}`)))));
  const broken = report.rules.filter((rule) => rule.relevant).map((rule) => h('article', { class: 'finding' },
    h('h4', null, badge(rule.name, 'broken'), ` ${rule.says}`), h('p', null, `${exact(rule.breaks_b)} breaks in ${exact(rule.checks_b)} checks in B; it held in A, ${exact(rule.checks_a)} times asked.`), rule.example && breakOf(rule.example)));
  return [orders, broken];
}

function comparedOrders(report) {
  const rows = report.operations.flatMap((operation) => operation.orders.map((order) => ({ ...order, operation: operation.name })));
  const kind = (order) => order.relevant ? 'relevant' : order.change;
  const rank = ['relevant', 'new', 'gone', 'more', 'fewer', 'spread', 'same', 'unknown'];
  rows.sort((a, b) => rank.indexOf(kind(a)) - rank.indexOf(kind(b)) || b.confident - a.confident || b.a.invalidations + b.b.invalidations - a.a.invalidations - a.b.invalidations);
  const seen = ({ invalidations, share }) => invalidations > 0 ? meter(share, `${exact(invalidations)} · ${percent(share)}`) : h('span', { class: 'none' }, '0');
  return table({
    caption: 'Orders compared', unit: 'order', rows, first: 30,
    kinds: { label: 'Orders by change', of: kind, tone: (change) => change === 'relevant' ? 'broken' : CHANGE_TONES[change] },
    details: (order) => order.inversions.length > 0 && (() => order.inversions.map((one) => h('p', null, h('b', null, one.says), `: ${one.why}`, h('span', { class: 'n' }, `${exact(one.invalidations_a)} invalidations of A have the same`)))),
    columns: [
      { title: 'operation', value: (order) => order.operation, cell: (order) => h('code', null, order.operation) },
      { title: 'order', value: (order) => order.order.join(' '), cell: (order) => order.order.length > 0 ? chain(order.order) : '(none of these stages)' },
      { title: 'A', number: true, value: (order) => order.a.invalidations, cell: (order) => seen(order.a) }, { title: 'B', number: true, value: (order) => order.b.invalidations, cell: (order) => seen(order.b) },
      { title: 'B : A', about: 'Share in B by that in A', number: true, value: (order) => order.ratio, cell: (order) => h('span', { title: between(order.ratio_low, order.ratio_high) }, times(order.ratio)) },
      { title: 'p', about: 'Chance of as much without a difference, all tests looked at', number: true, value: (order) => order.p_of_all, cell: (order) => chance(order.p_of_all) },
      { title: 'change', value: kind, cell: (order) => badge(['new', 'gone'].includes(kind(order)) && !order.confident ? `${kind(order)}, perhaps rare` : kind(order), order.relevant ? 'broken' : order.confident ? CHANGE_TONES[order.change] : 'nothing') },
    ],
  });
}

function comparedTimes(report) {
  const rows = report.operations.flatMap((operation) => operation.latencies.map((time) => ({ ...time, operation: operation.name })));
  if (rows.length === 0) return null;
  rows.sort((a, b) => b.confident - a.confident || Math.abs(b.cliffs_delta) - Math.abs(a.cliffs_delta));
  return table({
    caption: 'Times compared', unit: 'time', rows, first: 30,
    kinds: { label: 'Times by change', of: (time) => time.change, tone: (change) => CHANGE_TONES[change] },
    columns: [
      { title: 'operation', value: (time) => time.operation, cell: (time) => h('code', null, time.operation) }, { title: 'from, to', value: (time) => `${time.from} ${time.to}`, cell: (time) => chain([time.from, time.to]) },
      { title: 'A', about: 'Median', number: true, value: (time) => time.a.p50_ns, cell: (time) => nanoseconds(time.a.p50_ns) }, { title: 'B', about: 'Median', number: true, value: (time) => time.b.p50_ns, cell: (time) => nanoseconds(time.b.p50_ns) },
      { title: 'A p99', number: true, value: (time) => time.a.p99_ns, cell: (time) => nanoseconds(time.a.p99_ns) }, { title: 'B p99', number: true, value: (time) => time.b.p99_ns, cell: (time) => nanoseconds(time.b.p99_ns) },
      { title: 'B : A', number: true, value: (time) => time.ratio, cell: (time) => h('span', { title: between(time.ratio_low, time.ratio_high) }, times(time.ratio)) },
      { title: 'p', about: 'Chance of as much without a difference, all tests looked at', number: true, value: (time) => time.p_of_all, cell: (time) => chance(time.p_of_all) },
      { title: 'δ', about: "How much likelier B's is the longer of two than the shorter", number: true, value: (time) => time.cliffs_delta, cell: (time) => time.cliffs_delta.toFixed(2) },
      { title: 'change', value: (time) => time.change, cell: (time) => badge(time.change, CHANGE_TONES[time.change]) },
    ],
  });
}

function comparedRules(report) {
  const asked = (state, breaks, checks) => state === null ? missing : `${state}, ${exact(breaks)} breaks in ${exact(checks)} checks`;
  return table({
    caption: 'Rules compared', unit: 'rule', search: false, rows: report.rules,
    kinds: { label: 'Rules by change', of: (rule) => rule.change, tone: (change) => RULE_CHANGES[change] },
    details: (rule) => () => [facts([['says', rule.says], ['because', rule.because]]), rule.example && breakOf(rule.example)],
    columns: [
      { title: 'rule', value: (rule) => rule.name, cell: (rule) => h('code', null, rule.name) }, { title: 'A', value: (rule) => rule.a, cell: (rule) => asked(rule.a, rule.breaks_a, rule.checks_a) }, { title: 'B', value: (rule) => rule.b, cell: (rule) => asked(rule.b, rule.breaks_b, rule.checks_b) },
      { title: 'change', value: (rule) => rule.change, cell: (rule) => badge(rule.change, RULE_CHANGES[rule.change]) },
    ],
  });
}

function comparedSides(report) {
  const lines = [['kernel', 'kernel'], ['secondary MMU', 'mmu'], ['recorded', 'title'], ['command', 'command'], ['CPU', 'cpu'], ['CPUs recorded', 'cpus']].map(([title, field]) => [title, report.a[field], report.b[field]]);
  const made = (title, of) => [title, of(report.a), of(report.b)];
  const alone = [['A', report.only_in_a], ['B', report.only_in_b]].filter(([, all]) => all.length > 0);
  return [
    plain('Recordings', ['', `A: ${report.a.path}`, `B: ${report.b.path}`], [...lines,
      made('ends of invalidations', (side) => side.probes ? 'seen by probes' : 'from tracepoints alone'), made('length', (side) => seconds(side.seconds)), made('events', (side) => exact(side.events)), made('lost', (side) => exact(side.lost_events)),
      made('invalidations', (side) => exact(side.invalidations)), made('rules', (side) => badge(side.verdict, { held: 'held', broken: 'broken', vacuous: 'unproved' }[side.verdict]))]),
    report.differences.length > 0 && plain('What else is different', ['what', 'A', 'B', 'that means'], report.differences.map((one) => [one.what, one.a, one.b, one.means])),
    report.projected.length > 0 && plain('Stages left out', ['stage', 'why'], report.projected.map((one) => [chip(one.stage), one.why])),
    alone.map(([side, all]) => h('p', null, `Only in ${side}: ${all.map((one) => `${one.name} (${exact(one.invalidations)})`).join(', ')}`)),
    facts([['tested by', report.method], ['alpha', report.alpha]]), notes(report.notes),
  ];
}
