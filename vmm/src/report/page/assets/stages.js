// Stages of an invalidation: a colour for each family, and a shape for each stage, so that none needs colour alone.

const STAGES = {
  enter: ['the system call began', 'M-4-5L5 0L-4 5Z'],
  start: ['the change was announced', 'M-4-4H4V4H-4Z'],
  begin: ['KVM lets no fault install any more', 'M-5 0L-2.5-4.5H2.5L5 0L2.5 4.5H-2.5Z'],
  zap: ['an entry of the secondary MMU was zapped', 'M-5-3L-3-5L0-2L3-5L5-3L2 0L5 3L3 5L0 2L-3 5L-5 3L-2 0Z'],
  'kvm-flush': ["the secondary MMU's translations were flushed", 'M0-6L1.6-1.9L5.7-1.9L2.5.9L3.6 5L0 2.6L-3.6 5L-2.5.9L-5.7-1.9L-1.6-1.9Z'],
  flush: ["the host's own translations were flushed", 'M0-6L5 0L0 6L-5 0Z'],
  'set-migration': ["a migration entry took the mapping's place", 'M0-5L5 4H-5Z'],
  'remove-migration': ["the new mapping took the migration entry's place", 'M0 5L5-4H-5Z'],
  free: ['the page was freed', 'M-1.6-5H1.6V-1.6H5V1.6H1.6V5H-1.6V1.6H-5V-1.6H-1.6Z'],
  end: ['the invalidation was over', 'M-5-5H5V5H-5ZM-2.5-2.5V2.5H2.5V-2.5Z'],
  return: ['the system call returned', 'M4-5L-5 0L4 5Z'],
  fault: ['a guest access met no translation', 'M-5 0A5 5 0 1 0 5 0A5 5 0 1 0-5 0ZM-2.4 0A2.4 2.4 0 1 1 2.4 0A2.4 2.4 0 1 1-2.4 0Z'],
  install: ['an entry was installed', 'M-4.6 0A4.6 4.6 0 1 0 4.6 0A4.6 4.6 0 1 0-4.6 0Z'],
};

const stageSays = (stage) => STAGES[stage]?.[0] ?? 'a stage that this page does not know';
const stageShape = (stage) => STAGES[stage]?.[1] ?? 'M-3-3H3V3H-3Z';

const glyph = (stage) => svg('svg', { class: 'glyph', viewBox: '-7 -7 14 14', 'aria-hidden': 'true' }, svg('path', { d: stageShape(stage), 'fill-rule': 'evenodd' }));
const chip = (stage) => h('span', { class: 'chip', 'data-stage': stage, title: stageSays(stage) }, glyph(stage), stage);
/** Stages one after the other. */
const chain = (order) => h('span', { class: 'chain', role: 'list', 'aria-label': order.join(', then ') }, order.map((stage) => h('span', { role: 'listitem' }, chip(stage))));
const legend = () => h('ul', { class: 'legend', 'aria-label': 'Stages' }, Object.keys(STAGES).map((stage) => h('li', null, chip(stage), ' ', stageSays(stage))));

/** As many colours as can be told apart, each with a dash of its own. */
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '12 4', '4 2', '2 2 6 2', '1 4'];
