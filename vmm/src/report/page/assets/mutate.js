// Mutants of running kernels: what became of each, and how.

const FATES = { killed: 'held', equivalent: 'nothing', unreached: 'skipped', flaky: 'unproved', survived: 'broken', unpatchable: 'unproved', untried: 'skipped' };

function campaign(kernel) {
  const counts = Object.keys(FATES).map((fate) => [fate, kernel.mutants.filter((mutant) => mutant.fate === fate).length]).filter(([, n]) => n > 0);
  return [
    kernel.mutants.length > 0 && h('div', { class: 'stack', role: 'img', 'aria-label': counts.map(([fate, n]) => `${n} ${fate}`).join(', ') }, counts.map(([fate, n]) => h('span', { 'data-tone': FATES[fate], 'data-fate': fate, style: { 'flex-grow': n }, title: `${n} ${fate}` }, n / kernel.mutants.length > 0.06 ? `${n} ${fate}` : ''))),
    facts([['kernel', kernel.release], ['origin', kernel.origin], ['run by', kernel.accelerator], ['secondary MMU', kernel.mmu], ['notifier calls', `${kernel.kernel.sites.length} in ${exact(kernel.kernel.functions)} functions`], ['controls', exact(kernel.controls)], ['alarms of controls', kernel.control_alarms.length], ['boot', seconds(kernel.boot_seconds)], ['time', seconds(kernel.seconds)]]),
    kernel.interrupted && h('p', null, badge('interrupted', 'unproved'), ' The same command goes on where it stopped.'),
    notes(kernel.control_alarms, 'alarm of a control'), notes(kernel.void_controls, 'void control'), notes(kernel.notes), notes(kernel.kernel.oddities, 'oddity'),
    table({
      caption: `Mutants of ${kernel.release}`, unit: 'mutant', rows: kernel.mutants,
      kinds: { label: 'Mutants by fate', of: (mutant) => mutant.fate, tone: (fate) => FATES[fate] },
      open: (mutant) => mutant.fate === 'survived',
      details: (mutant) => () => oneMutant(mutant),
      columns: [
        { title: 'mutant', value: (mutant) => mutant.id, cell: (mutant) => h('code', null, mutant.id) },
        { title: 'fate', value: (mutant) => mutant.fate, cell: (mutant) => [badge(mutant.fate, FATES[mutant.fate]), !mutant.expected && mutant.fate !== 'untried' && h('span', { class: 'change', 'data-change': 'gone' }, 'unexpected')] },
        { title: 'by', value: (mutant) => mutant.killed_by?.oracle ?? '' },
        { title: 'running', value: (mutant) => mutant.killed_by ? `${mutant.killed_by.scenario} on ${mutant.killed_by.backing}` : '' },
        { title: 'after', number: true, value: (mutant) => mutant.killed_by?.seconds, cell: (mutant) => mutant.killed_by ? seconds(mutant.killed_by.seconds) : missing },
        { title: 'calls met', number: true, value: (mutant) => mutant.sites.reduce((sum, site) => sum + number(site.met_memslot), 0), cell: (mutant) => mutant.sites.length ? count(mutant.sites.reduce((sum, site) => sum + number(site.met_memslot), 0)) : missing },
        { title: 'trials', number: true, value: (mutant) => mutant.trials.length },
      ],
    }),
  ];
}

function oneMutant(mutant) {
  const saw = ({ outcome }) => !outcome ? 'not made: the control had raised an alarm' : outcome.saw === 'kill' ? `${outcome.oracle}: ${outcome.detail}` : outcome.saw === 'nothing' ? `nothing, in ${seconds(outcome.seconds)}` : `unclear: ${outcome.why}`;
  return [
    mutant.why && h('p', { class: 'reason' }, mutant.why),
    mutant.killed_by && h('p', { class: 'detail' }, mutant.killed_by.detail),
    facts([['what is missing', mutant.kind], ['in', h('code', null, mutant.function)], ['reached by', mutant.scenarios.join(', ')]]),
    mutant.patches.length > 0 && plain('Patches', ['place', 'was', 'is'], mutant.patches.map((patch) => [patch.place, patch.was, patch.is].map((text) => h('code', null, text)))),
    mutant.sites.length > 0 && plain('Notifier calls', ['call', 'place', 'form', 'hits', 'met a memslot'], mutant.sites.map((site) => [h('code', null, site.callee), h('code', null, site.place), site.form, exact(site.hits), exact(site.met_memslot)]), [3, 4]),
    mutant.trials.length > 0 && plain('Trials', ['trial', 'control', 'what it saw', 'time', 'seed'], mutant.trials.map((trial) => [trial.scenarios.join(', '), verdict(trial.control.verdict), saw(trial), seconds(trial.seconds), hex(trial.seed)]), [3]),
    command(mutant.replay),
  ];
}
