// The same scenarios in several kernels: a field for each, and what is behind it.

const METRICS = [
  ['verdict', 'Verdicts', null, null],
  ['operations_per_second', 'Operations/s', rate, 1],
  ['writes_per_second', 'Verified writes/s', rate, 1],
  ['invalidations', 'Invalidations', count, 1],
  ['longest_stall_us', 'Longest stall', microseconds, -1],
];

const kernelName = (kernel) => kernel.asked.includes('/') ? kernel.release ?? kernel.asked : kernel.asked;

function heatMap(report) {
  const { kernels } = report;
  const rows = new Map();
  for (const kernel of kernels) for (const row of kernel.scenarios) rows.set(JSON.stringify([row.name, row.backing]), [row.name, row.backing]);
  if (rows.size === 0) return h('p', { class: 'empty' }, 'No scenario ran in any kernel.');
  const found = (kernel, [name, backing]) => kernel.scenarios.find((row) => row.name === name && row.backing === backing);
  const state = { metric: METRICS[0], text: '' };
  const body = h('tbody');
  const panel = h('div', { class: 'panel' });
  const under = h('tr', { class: 'under', id: fresh('panel') }, h('td', { colspan: kernels.length + 1 }, panel));
  let pressed = null;
  function open(button, kernel, row) {
    pressed?.setAttribute('aria-expanded', 'false');
    pressed = pressed === button ? null : button;
    if (!pressed) return under.remove();
    button.setAttribute('aria-expanded', 'true');
    panel.replaceChildren(h('h4', null, verdict(row.verdict), ' ', h('code', null, row.name), ` on ${row.backing} in ${kernelName(kernel)}`), ...scenario(row, null).flat(Infinity).filter(Boolean));
    button.closest('tr').after(under);
    say(`${row.name} on ${row.backing} in ${kernelName(kernel)}: ${row.verdict}`);
  }
  function draw() {
    const [field, , show] = state.metric;
    pressed = null;
    const words = state.text.split(/\s+/);
    const chosen = [...rows.values()].filter((key) => words.every((word) => key.join(' ').toLowerCase().includes(word)));
    body.replaceChildren(...chosen.map((key) => {
      const values = kernels.map((kernel) => found(kernel, key));
      const numbers = values.map((row) => row && row.verdict !== 'skipped' ? number(row[field]) : NaN);
      const most = Math.max(...numbers.filter(Number.isFinite), 0);
      return h('tr', null, h('th', { scope: 'row' }, h('code', null, key[0]), h('span', { class: 'backing' }, key[1])), values.map((row, n) => {
        if (!row) return h('td', { class: 'heat none' }, missing);
        const button = h('button', {
          type: 'button', class: 'heat', 'data-tone': VERDICT_TONES[row.verdict], 'aria-expanded': 'false', 'aria-controls': under.id, title: row.reason,
          'aria-label': `${key[0]} on ${key[1]} in ${kernelName(kernels[n])}: ${row.verdict}${show && row.verdict !== 'skipped' ? `, ${show(row[field])}` : ''}`,
          onclick() { open(button, kernels[n], row); },
        }, show ? (row.verdict === 'skipped' ? missing : meter(numbers[n] / most, show(row[field]))) : verdict(row.verdict));
        return h('td', { class: 'heat' }, button);
      }));
    }));
  }
  draw();
  return h('div', null,
    h('div', { class: 'tools' }, h('input', { type: 'search', placeholder: 'Search scenarios', 'aria-label': 'Search scenarios', oninput() { state.text = this.value.trim().toLowerCase(); draw(); } }),
      choice('What the fields show', METRICS.map(([field, title]) => [field, title]), state.metric[0], (field) => { state.metric = METRICS.find(([name]) => name === field); draw(); })),
    h('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Scenarios by kernel' }, h('table', { class: 'heat-map' }, h('caption', { class: 'hidden' }, 'Scenarios by kernel'),
      h('thead', null, h('tr', null, h('th', { scope: 'col' }, 'scenario'), kernels.map((kernel) => h('th', { scope: 'col' }, kernelName(kernel), h('br'), verdict(kernel.verdict))))), body)));
}

function kernelTable(report) {
  return table({
    caption: 'Kernels', unit: 'kernel', rows: report.kernels, search: false,
    open: (kernel) => VERDICT_TONES[kernel.verdict] === 'broken' || kernel.alarms.length > 0,
    details: (kernel) => () => [
      kernel.reason && h('p', { class: 'reason' }, kernel.reason),
      facts([['origin', kernel.origin], ['emulator', `${kernel.emulator} ${kernel.accelerator}`.trim()], ['CPU', kernel.host?.cpu], ['CPUs', kernel.host?.cpus], ['seen again', kernel.confirmed === null ? null : kernel.confirmed ? 'yes, in a second machine' : 'no']]),
      kernel.alarms.length > 0 && plain('Alarms', ['alarm', 'what the console said', 'about guests or pages'], kernel.alarms.map((alarm) => [badge(alarm.kind, alarm.signature ? 'broken' : 'unproved'), h('code', { class: 'wrap' }, alarm.text), alarm.signature ? 'yes' : 'no'])),
      notes(kernel.notes), notes(kernel.damaged, 'damaged'),
    ],
    columns: [
      { title: 'kernel', value: kernelName, cell: (kernel) => h('b', null, kernelName(kernel)) }, { title: 'release', value: (kernel) => kernel.release }, { title: 'MMU', value: (kernel) => kernel.mmu },
      { title: 'boot', number: true, value: (kernel) => kernel.boot_seconds, cell: (kernel) => seconds(kernel.boot_seconds) }, { title: 'total', number: true, value: (kernel) => kernel.seconds, cell: (kernel) => seconds(kernel.seconds) },
      { title: 'verdict', value: (kernel) => kernel.verdict, cell: (kernel) => verdict(kernel.verdict) }, { title: 'reason', value: (kernel) => kernel.reason ?? '' },
    ],
  });
}

function matrixSetup(report) {
  const { setup } = report;
  return [facts([['seed', hex(report.seed)], ['vCPUs', setup.vcpus], ['host writers', setup.host_writers], ['memory under test', bytes(setup.memory_bytes)], ['time in each kernel', seconds(setup.seconds)], ['planted', setup.plant], ['machine', `${many(setup.machine.cpus, 'CPU')}, ${bytes(setup.machine.memory_bytes)}, ${many(setup.machine.nodes, 'node')}`], ['command line', setup.machine.append.join(' ')]]), notes(report.notes)];
}
