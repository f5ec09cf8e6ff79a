// Models that were checked, and litmus tests: what is allowed, and how often it was seen.

function cases(report) {
  const open = (one) => one.vacuous || one.verdict === 'bounded';
  const tone = (one) => one.agrees ? 'held' : open(one) ? 'unproved' : 'broken';
  const word = (one) => one.vacuous ? 'vacuous' : one.verdict;
  return [
    report.errors.length > 0 && plain('Not checked', ['file', 'why'], report.errors.map((error) => [h('code', null, error.path), error.message])),
    table({
      caption: 'Cases', unit: 'case', rows: report.files,
      kinds: { label: 'Cases by agreement', of: (one) => one.agrees ? 'as expected' : open(one) ? 'undecided' : 'not as expected', tone: (kind) => ({ 'as expected': 'held', undecided: 'unproved' })[kind] ?? 'broken' },
      open: (one) => !one.agrees && !open(one),
      details: (one) => () => [h('p', null, `“${one.model}”`), one.violated && h('p', { class: 'detail' }, h('code', null, one.violated.text), one.violated.message && `: ${one.violated.message}`), steps(one),
        one.waiting.length > 0 && plain('Waiting', ['thread', 'waits for', 'line'], one.waiting.map((wait) => [wait.thread, h('code', null, wait.step), wait.line])),
        facts([['transitions', exact(one.transitions)], ['depth', exact(one.depth)], ['memory for states', bytes(one.peak_bytes)], ['bound', one.bound]]), command(one.replay)],
      columns: [
        { title: 'file', value: (one) => one.path, cell: (one) => h('code', null, one.path.split('/').pop()) }, { title: 'ordering', value: (one) => one.memory_model === 'sc' ? one.variant : `${one.variant} under ${one.memory_model}` },
        { title: 'expected', value: (one) => one.expected_exactly ?? one.expected }, { title: 'found', value: word, cell: (one) => badge(word(one), tone(one)) },
        { title: 'states', number: true, value: (one) => one.states, cell: (one) => exact(one.states) }, { title: 'time', number: true, value: (one) => one.seconds, cell: (one) => seconds(one.seconds) },
        { title: 'steps to it', number: true, value: (one) => one.counterexample.length || null, cell: (one) => one.counterexample.length || missing },
      ],
    }),
  ];
}

/** A counterexample: a column for each thread, time goes down. */
function steps(one) {
  const threads = [...new Set(one.counterexample.map((step) => step.thread))];
  if (threads.length === 0) return null;
  return h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Counterexample' }, h('table', { class: 'steps' }, h('thead', null, h('tr', null, h('th', { scope: 'col' }, ''), threads.map((thread) => h('th', { scope: 'col' }, thread)))),
    h('tbody', null, one.counterexample.map((step, n) => h('tr', { class: step.fails ? 'fails' : step.repeats ? 'repeats' : null }, h('th', { scope: 'row' }, n + 1), threads.map((thread) => h('td', null, thread === step.thread && [
      h('code', null, step.step), step.beside && h('span', { class: 'n' }, 'by the memory system'), h('span', { class: 'place' }, `${step.library ? `${step.library}:` : 'line '}${step.line}`), step.changes.map((change) => h('span', { class: 'changes' }, change)), step.fails && badge(step.failing ?? 'fails', 'broken'), step.repeats && h('span', { class: 'n' }, 'repeats')])))))));
}

const LITMUS_TONES = { agrees: 'held', forbidden: 'broken', unexpected: 'broken', bounded: 'unproved', vacuous: 'unproved' };

function litmusTests(report) {
  return [
    report.host && facts([['kernel', report.host.kernel], ['secondary MMU', report.host.mmu], ['CPU', report.host.cpu], ['seed', hex(report.seed)]]),
    notes(report.alarms, 'alarm'),
    report.errors.length > 0 && plain('Not run', ['file', 'why'], report.errors.map((error) => [h('code', null, error.path), error.message])),
    table({
      caption: 'Litmus tests', unit: 'test', rows: report.tests,
      kinds: { label: 'Tests by verdict', of: (test) => test.verdict, tone: (kind) => LITMUS_TONES[kind] },
      open: (test) => LITMUS_TONES[test.verdict] === 'broken',
      details: (test) => () => [h('p', null, `“${test.model}”`), test.reason && h('p', { class: 'reason' }, test.reason), finalStates(test), test.kvm_skipped && h('p', null, `Not on KVM: ${test.kvm_skipped}`), command(test.replay)],
      columns: [
        { title: 'test', value: (test) => test.path, cell: (test) => h('code', null, test.path.split('/').pop()) }, { title: 'ordering', value: (test) => test.memory_model === 'sc' ? test.variant : `${test.variant} under ${test.memory_model}` },
        { title: 'verdict', value: (test) => test.verdict, cell: (test) => badge(test.verdict, LITMUS_TONES[test.verdict]) },
        { title: 'allowed', about: 'Final states that the model allows', number: true, value: (test) => test.states.filter((state) => state.model === 'allowed').length },
        { title: 'never seen', about: 'Of these, by place', number: true, value: (test) => test.never_seen.length },
        { title: 'software MMU', about: 'Instances', number: true, value: (test) => test.soft?.instances, cell: (test) => count(test.soft?.instances) },
        { title: 'KVM', about: 'Instances', number: true, value: (test) => test.kvm?.instances, cell: (test) => count(test.kvm?.instances) },
      ],
    }),
  ];
}

function finalStates(test) {
  const seen = (sighting) => !sighting ? missing : sighting.times === 0 ? 'never' : `${exact(sighting.times)} · ${sighting.per_million.toPrecision(3)} per million`;
  const most = (on) => Math.max(...test.states.map((state) => state[on]?.times ?? 0), 1);
  const bar = (state, on) => state[on] ? meter(Math.log1p(state[on].times) / Math.log1p(most(on)), seen(state[on])) : missing;
  return plain('Final states', ['state', 'model', 'software MMU', 'KVM', 'violates'], test.states.map((state) => [h('code', null, state.state), badge(state.model, state.model === 'allowed' ? (state.violates ? 'unproved' : 'held') : state.model === 'forbidden' && (state.soft?.times || state.kvm?.times) ? 'broken' : 'nothing'), bar(state, 'soft'), bar(state, 'kvm'), state.violates ?? '']));
}

function litmusDiff(report) {
  const tones = { same: 'held', differs: 'broken', inconclusive: 'unproved' };
  return [
    facts([['first', report.a.path], ['second', report.b.path], ['method', report.method], ['alpha', report.alpha]]), notes(report.notes),
    table({
      caption: 'Tests compared', unit: 'test', rows: report.pairs,
      kinds: { label: 'Tests by verdict', of: (pair) => pair.verdict, tone: (kind) => tones[kind] },
      open: (pair) => pair.verdict === 'differs',
      details: (pair) => () => [pair.reason && h('p', { class: 'reason' }, pair.reason), plain('States', ['state', 'first', 'second', 'ratio', 'p', 'change'], pair.states.map((state) => [h('code', null, state.state), exact(state.a.times), exact(state.b.times), state.ratio === null ? missing : state.ratio.toPrecision(3), state.p === null ? missing : state.p.toPrecision(2), state.confident ? badge(state.change, 'broken') : state.change]), [1, 2, 3, 4])],
      columns: [
        { title: 'test', value: (pair) => pair.file, cell: (pair) => h('code', null, pair.file) }, { title: 'on', value: (pair) => pair.on }, { title: 'orderings', value: (pair) => pair.a.variant === pair.b.variant ? pair.a.variant : `${pair.a.variant}, ${pair.b.variant}` },
        { title: 'verdict', value: (pair) => pair.verdict, cell: (pair) => badge(pair.verdict, tones[pair.verdict]) }, { title: 'instances', number: true, value: (pair) => number(pair.a.instances) + number(pair.b.instances), cell: (pair) => `${count(pair.a.instances)} / ${count(pair.b.instances)}` },
      ],
    }),
  ];
}
