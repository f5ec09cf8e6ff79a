// The rules of invalidate ordering: what each says, why, and what it came to; a broken one with the events that show it.

const RULE_TONES = { held: 'held', broken: 'broken', 'not-asked': 'skipped' };

function rules(profiles) {
  return profiles.map(({ name, data }) => h('div', { class: 'rules' }, profiles.length > 1 && h('h4', null, name), table({
    caption: `Rules${profiles.length > 1 ? ` in ${name}` : ''}`, unit: 'rule', search: false,
    rows: [...data.rules].sort((a, b) => (b.state === 'broken') - (a.state === 'broken')),
    kinds: { label: 'Rules by state', of: (rule) => rule.state, tone: (state) => RULE_TONES[state] },
    open: (rule) => rule.state === 'broken',
    details: (rule) => () => [
      facts([['says', rule.says], ['because', rule.because], ['not asked', rule.reason]]),
      rule.examples.map((one) => breakOf(one)),
      rule.breaks > rule.examples.length && h('p', null, `${exact(rule.breaks - rule.examples.length)} more are counted, and not kept.`),
    ],
    columns: [
      { title: 'rule', value: (rule) => rule.name, cell: (rule) => h('code', null, rule.name) },
      { title: 'what it says', value: (rule) => rule.says },
      { title: 'state', value: (rule) => rule.state, cell: (rule) => badge(rule.state, RULE_TONES[rule.state]) },
      { title: 'checks', number: true, value: (rule) => rule.checks, cell: (rule) => exact(rule.checks) },
      { title: 'breaks', number: true, value: (rule) => rule.breaks, cell: (rule) => exact(rule.breaks) },
    ],
  })));
}

/** A rule broken once. */
function breakOf(one) {
  return h('article', { class: 'finding' },
    h('p', null, badge(one.rule, 'broken'), ' ', h('b', null, one.what)),
    facts([['by', one.operation], ['at', `${(one.at_us / 1e6).toFixed(6)} s after the first event`], ['where', one.hva]]),
    one.events.length > 0 && eventTable(one.events, `Events of a break of ${one.rule}`));
}

/** Where a recording was made, and what is missing in it. */
function recording(profiles) {
  return profiles.map(({ name, data }) => h('div', null, profiles.length > 1 && h('h4', null, name),
    facts([
      ['recorded', data.title], ['kernel', data.kernel], ['CPU', data.cpu], ['CPUs recorded', data.cpus], ['secondary MMU', data.mmu], ['clock', `${data.ticks_per_us} ticks a microsecond`],
      ['ends of invalidations', data.probes ? 'seen by probes, exactly' : 'from tracepoints alone'], ['process', data.pid === null ? data.command : `${data.command} (${data.pid})`],
      ['length', seconds(data.seconds)], ['events', exact(data.events)],
      ['lost', data.lost.length === 0 ? 'nothing' : badge(data.lost.map(({ cpu, events }) => `${exact(events)} on CPU ${cpu}`).join(', '), 'unproved')],
      ['ends early', data.truncated && badge(data.truncated, 'unproved')],
    ]),
    notes(data.notes),
    data.by_kind.length > 0 && fold(`Events by kind (${data.by_kind.length})`, () => {
      const most = Math.max(...data.by_kind.map(({ events }) => events));
      return table({ caption: 'Events by kind', unit: 'kind', rows: data.by_kind, columns: [
        { title: 'event', value: (kind) => kind.name, cell: (kind) => h('code', null, kind.name) },
        { title: 'times', number: true, value: (kind) => kind.events, cell: (kind) => meter(kind.events / most, exact(kind.events)) },
      ] });
    })));
}
