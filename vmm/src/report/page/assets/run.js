// Scenarios of a run, and what broke in them.

const VERDICT_TONES = { coherent: 'held', violation: 'broken', stuck: 'broken', vacuous: 'unproved', skipped: 'skipped' };
const verdict = (word) => badge(word, VERDICT_TONES[word] ?? 'nothing');
/** More are shown when they are wanted. */
const FULL_VIOLATIONS = 3;

function scenarios(rows, ticks, caption = 'Scenarios') {
  const ran = (row) => row.verdict !== 'skipped';
  const most = (of) => Math.max(...rows.map(of).map(number).filter(Number.isFinite), 1);
  const bar = (title, of, show, about) => {
    const top = most(of);
    return { title, about, number: true, value: (row) => ran(row) ? of(row) : null, cell: (row) => ran(row) ? meter(number(of(row)) / top, show(of(row))) : missing };
  };
  const plainly = (title, of, about) => ({ title, about, number: true, value: (row) => ran(row) ? of(row) : null, cell: (row) => !ran(row) ? missing : number(of(row)) > 0 && (title === 'lost' || title === 'stale') ? h('b', { class: 'bad' }, count(of(row))) : count(of(row)) });
  return table({
    caption, unit: 'scenario', rows,
    kinds: { label: 'Scenarios by verdict', of: (row) => row.verdict, tone: (kind) => VERDICT_TONES[kind] },
    details: (row) => () => scenario(row, ticks),
    columns: [
      { title: 'operation', value: (row) => row.name, cell: (row) => h('code', null, row.name) },
      { title: 'backing', value: (row) => row.backing },
      { title: 'verdict', value: (row) => row.verdict, cell: (row) => verdict(row.verdict) },
      bar('operations/s', (row) => row.operations_per_second, rate, 'Host operations completed, a second'),
      bar('verified writes/s', (row) => row.writes_per_second, rate, 'Atomic increments by guests and host threads that are accounted for, a second'),
      plainly('lost', (row) => row.lost_writes, 'Increments that are missing'),
      plainly('stale', (row) => number(row.stale_writes) + number(row.stale_reads), 'Writes and reads that met what was replaced'),
      plainly('invalidations', (row) => row.invalidations, 'Invalidations that hit the secondary MMU'),
      bar('longest stall', (row) => row.longest_stall_us, microseconds, 'The longest time between two signs of life of a vCPU'),
    ],
  });
}

/** All that is known of a scenario. */
function scenario(row, ticks) {
  const counters = Object.entries(row.kvm ?? {});
  return [
    row.reason && h('p', { class: 'reason' }, row.reason),
    facts([
      ['method', row.method], ['layout', row.layout], ['time', row.verdict === 'skipped' ? null : seconds(row.seconds)], ['operations', exact(row.operations)], ['pages', exact(row.pages)], ['guest writes', exact(row.guest_writes)], ['host writes', exact(row.host_writes)],
      ['stale writes', exact(row.stale_writes)], ['stale reads', exact(row.stale_reads)], ['installs', exact(row.installs)], ['invalidations', exact(row.invalidations)], ['EFAULTs', exact(row.efaults)],
      ['witnessed pages', exact(row.witnessed_pages)], ['third-thread sightings', exact(row.third_thread_sightings)], ['huge pages', number(row.huge_bytes) > 0 ? bytes(row.huge_bytes) : null],
      ['first write after', microseconds(row.start_us)], ['final check', microseconds(row.check_us)],
    ]),
    (row.by_operation?.length ?? 0) > 1 && plain('By operation', ['operation', 'operations', 'pages'], row.by_operation.map((one) => [h('code', null, one.name), exact(one.operations), exact(one.pages)]), [1, 2]),
    notes(row.remarks, 'remark'),
    row.storm && facts([['rounds', exact(row.storm.rounds)], ['coherent rounds', exact(row.storm.coherent)], ['vacuous rounds', exact(row.storm.vacuous)], ['skipped rounds', exact(row.storm.skipped)], ['never done', row.storm.never.join(', ')], ['still fails with', row.storm.shrunk.join(', ')]]),
    row.migration && facts(Object.entries(row.migration).filter(([, value]) => typeof value !== 'object').map(([name, value]) => [name.replaceAll('_', ' '), exact(value)])),
    counters.length > 0 && fold("KVM's own counters", () => facts(counters.map(([name, value]) => [name, exact(value)]))),
    row.violations?.length > 0 && fold(`${many(row.violations.length, 'violation')} with events and pages`, () => row.violations.map((one) => violation(one, ticks))),
    row.replay && command(row.replay),
  ];
}

/** What broke, in full: scenario by scenario. `kernel` names where, in a matrix. */
function violations(rows, ticks, kernel) {
  // One of each oracle before a second of any.
  const mixed = (list) => {
    const times = {};
    return list.map((one) => [times[one.oracle] = (times[one.oracle] ?? 0) + 1, one]).sort((a, b) => a[0] - b[0]).map(([, one]) => one);
  };
  return rows.filter((row) => VERDICT_TONES[row.verdict] === 'broken').map((row) => h('article', { class: 'finding' },
    h('h4', null, verdict(row.verdict), ' ', h('code', null, row.name), ` on ${row.backing}`, kernel && ` in ${kernel}`),
    row.reason && h('p', { class: 'reason' }, row.reason),
    mixed(row.violations).slice(0, FULL_VIOLATIONS).map((one) => violation(one, ticks)),
    row.violations.length > FULL_VIOLATIONS && fold(`${row.violations.length - FULL_VIOLATIONS} more`, () => mixed(row.violations).slice(FULL_VIOLATIONS).map((one) => violation(one, ticks))),
    row.replay && command(row.replay)));
}

function violation(one, ticks) {
  const where = one.page === null ? '' : ` on page ${one.page}`;
  const who = one.writer ? ` by ${one.writer}` : '';
  return h('div', { class: 'violation' },
    h('p', null, badge(one.oracle, 'broken'), ` ${where}${who}, during `, h('code', null, one.operation)),
    h('p', { class: 'detail' }, one.detail),
    facts([['expected', exact(one.expected)], ['found', exact(one.found)], ['access', one.access], ['range', one.range && `[${one.range.start}, ${one.range.end})`]]),
    one.events?.length > 0 && violationEvents(one, ticks),
    one.pages?.length > 0 && fold(`What ${many(one.pages.length, 'page')} held`, () => one.pages.map((page) => dump(page))));
}

function violationEvents(one, ticks) {
  // Large counters come as strings: only their differences are small.
  const since = (event) => Number(BigInt(event.tsc) - BigInt(one.tsc));
  const signed = (text) => text.replace('-', '−');
  const [unit, show] = ticks > 0 ? [' (µs)', (n) => signed((n / ticks).toFixed(1))] : [' (ticks)', (n) => signed(exact(n))];
  return plain(`Events before a violation of ${one.oracle}`, [`before it${unit}`, 'what', 'by', 'where', 'generation'],
    one.events.map((event) => [show(since(event)), event.stage, event.actor, h('code', null, `[${event.range.start}, ${event.range.end})`), exact(event.generation)]), [0, 4]);
}

/** A page's words; those that differ from the most frequent one stand out. */
function dump({ what, lines }) {
  const words = lines.flat();
  const times = new Map();
  for (const word of words) times.set(word, (times.get(word) ?? 0) + 1);
  const usual = [...times].sort((a, b) => b[1] - a[1])[0]?.[0];
  return h('div', { class: 'dump' }, h('p', null, what),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': what }, h('table', null, h('tbody', null, lines.map((line, n) => h('tr', null, h('th', { scope: 'row' }, `+${(n * 64).toString(16).padStart(3, '0')}`), line.map((word) => h('td', { class: word === usual ? null : 'odd' }, word))))))));
}

function hostFacts(report, document) {
  const { host, setup } = report;
  const flat = (value, path = '') => value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.entries(value).flatMap(([name, inside]) => flat(inside, path ? `${path}.${name}` : name))
    : [[path, Array.isArray(value) ? value.map((one) => typeof one === 'object' ? JSON.stringify(one) : one).join(', ') : String(value)]];
  return [
    facts([['kernel', host?.kernel], ['secondary MMU', host?.mmu], ['CPU', host?.cpu], ['CPUs', host?.cpus], ['vCPUs', setup?.vcpus], ['host writers', setup?.host_writers], ['memory under test', setup && bytes(setup.memory_bytes)], ['seed', hex(report.seed)], ['clock', document.ticks_per_us && `${document.ticks_per_us.toFixed(1)} ticks a microsecond`]]),
    notes(report.notes),
    document.facts && fold('All that was known of the host', () => table({ caption: 'Facts about the host', unit: 'fact', rows: flat(document.facts), columns: [
      { title: 'fact', value: ([name]) => name, cell: ([name]) => h('code', null, name) }, { title: 'value', value: ([, value]) => value, cell: ([, value]) => h('span', { class: 'wrap' }, value) }] })),
    document.kernel_log && fold('What the kernel said during the run', () => h('pre', null, document.kernel_log)),
  ];
}
