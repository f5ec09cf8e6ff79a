//! From a recording to its profile: one pass, in order of time, with memory that grows with what is installed and not with what happened.

use super::{
    describe::name,
    event::{Item, KernelEvent, PrimarySample, What},
    head::{Head, Tail},
    kind::Kind,
    order::Orders,
    profile::{KindCount, LostOnCpu, OrderVerdict, Profile, RuleResult, RuleState, Timeline, VERSION},
    rules::{self, EXAMPLES, Findings, Rule, Sight},
    telling::Names,
    world::World,
};
use crate::event::Tsc;
use std::collections::{BTreeMap, VecDeque};

/// Latest events that are kept, to show what was going on when a rule was broken.
const RECENT: usize = 256;
/// Those of them that are shown.
const AROUND: usize = 12;

/// A rule, and what it has found.
struct Asked {
    rule: Box<dyn Rule>,
    found: Findings,
    /// Why it cannot be asked.
    blind: Option<String>,
    /// Events around each example.
    around: Vec<Vec<KernelEvent>>,
}

/// An analysis under way.
pub struct Analysis {
    head: Head,
    world: World,
    rules: Vec<Asked>,
    /// For each kind of event, the rules that want to see it.
    by_kind: Vec<Vec<usize>>,
    orders: Orders,
    recent: VecDeque<KernelEvent>,
    /// Of each kind of event, how many there were, and one of them.
    counts: Vec<(u64, Option<What>)>,
    first: Option<Tsc>,
    lost: BTreeMap<u16, u64>,
    samples: u64,
    /// Whether it was ever known how guest memory lies in the host.
    laid_out: bool,
}

impl std::fmt::Debug for Analysis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Analysis").field("events", &self.events()).finish_non_exhaustive()
    }
}

impl Analysis {
    /// Of a recording that begins so.
    #[must_use]
    pub fn new(head: &Head) -> Self {
        let sight = Sight::of(head);
        let mut by_kind = vec![Vec::new(); Kind::ALL.len()];
        let rules: Vec<Asked> = rules::all()
            .into_iter()
            .map(|rule| {
                let blind = (rule.about().asks)(&sight).err();
                Asked { rule, found: Findings::default(), blind, around: Vec::new() }
            })
            .collect();
        for (n, asked) in rules.iter().enumerate().filter(|(_, asked)| asked.blind.is_none()) {
            asked.rule.about().kinds.iter().for_each(|kind| by_kind[*kind as usize].push(n));
        }
        let mut world = World::new(head);
        if sight.has("mm_page_free") {
            world.mirror.index_frames();
        }
        Self {
            head: head.clone(),
            world,
            rules,
            by_kind,
            orders: Orders::new(head.hertz),
            recent: VecDeque::with_capacity(RECENT),
            counts: vec![(0, None); Kind::ALL.len()],
            first: None,
            lost: BTreeMap::new(),
            samples: 0,
            laid_out: false,
        }
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.counts.iter().map(|(count, _)| count).sum()
    }

    /// Takes note of the next item; they come in order of time.
    pub fn item(&mut self, item: &Item) {
        match item {
            Item::Event(event) => self.event(event),
            Item::Primary(sample) => self.sample(sample),
            Item::Slots { slots, .. } => {
                self.laid_out |= !slots.is_empty();
                self.world.lay_out(slots);
            }
            Item::Lost { since, until, cpu, events } => {
                *self.lost.entry(*cpu).or_default() += events.unwrap_or(1);
                self.world.forget(*until);
                self.orders.forget();
                for asked in &mut self.rules {
                    asked.rule.forget();
                    asked.withdraw(*since);
                }
            }
        }
    }

    fn event(&mut self, event: &KernelEvent) {
        let kind = event.what.kind();
        let (count, one) = &mut self.counts[kind as usize];
        *count += 1;
        one.get_or_insert(event.what);
        self.first.get_or_insert(event.at.tsc);
        if event.what.goes_on()
            && !self.world.openings.is_empty()
            && let Some(opening) = self.world.opening(event.at.tid).copied()
        {
            for asked in self.rules.iter_mut().filter(|asked| asked.blind.is_none()) {
                asked.rule.closes(&opening, event, &self.world, &mut asked.found);
                asked.look_around(&self.recent);
            }
            self.world.close(event.at.tid);
        }
        self.world.expect(event);
        for n in &self.by_kind[kind as usize] {
            let asked = &mut self.rules[*n];
            asked.rule.event(event, &self.world, &mut asked.found);
            asked.look_around(&self.recent);
        }
        self.world.apply(event);
        self.orders.event(event, &self.world, self.world.effects());
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(*event);
    }

    fn sample(&mut self, sample: &PrimarySample) {
        self.samples += 1;
        for asked in self.rules.iter_mut().filter(|asked| asked.blind.is_none()) {
            asked.rule.sample(sample, &self.world, &mut asked.found);
            asked.look_around(&self.recent);
        }
    }

    /// The profile, when there is no more to come: `tail` if the recording was ended in order, `truncated` if it breaks off.
    #[must_use]
    pub fn finish(mut self, tail: Option<&Tail>, truncated: Option<&str>) -> Profile {
        let last = self.recent.back().copied();
        if let Some(last) = last {
            for asked in self.rules.iter_mut().filter(|asked| asked.blind.is_none()) {
                asked.rule.ends(&last, &self.world, &mut asked.found);
                asked.look_around(&self.recent);
            }
        }
        let threads = tail.map(|tail| tail.threads.clone()).unwrap_or_default();
        let events = self.events();
        let names = Names { threads: &threads, first: self.first.unwrap_or_default(), hertz: self.head.hertz };
        let rules: Vec<RuleResult> = self.rules.iter().map(|asked| asked.result(&names, &self.world)).collect();
        let (tally, idle) = self.orders.finish();
        let (operations, shown) = tally.finish(&threads);
        let timelines: Vec<Timeline> = shown.iter().map(|shown| names.timeline(shown)).collect();
        // The kernel's own count, where the recording has come to its end.
        let lost = tail.filter(|tail| tail.lost.values().any(|events| *events > 0)).map_or(self.lost, |tail| tail.lost.clone());
        let lost = lost.into_iter().filter(|(_, events)| *events > 0);
        let lost: Vec<_> = lost.map(|(cpu, events)| LostOnCpu { cpu: cpu.into(), events }).collect();
        let named = |(events, one): &(u64, Option<What>)| {
            let name = match one.as_ref()? {
                What::Enter { .. } => "syscalls/sys_enter_*",
                What::Exit { .. } => "syscalls/sys_exit_*",
                what => name(what),
            };
            Some(KindCount { name: name.to_owned(), events: *events })
        };
        let mut by_kind: Vec<_> = self.counts.iter().filter_map(named).collect();
        by_kind.sort_by(|a, b| b.events.cmp(&a.events).then_with(|| a.name.cmp(&b.name)));
        let met: u64 = operations.iter().map(|operation| operation.invalidations).sum();
        let broken = rules.iter().any(|rule| rule.state == RuleState::Broken);
        let held = rules.iter().any(|rule| rule.state == RuleState::Held);
        let verdict = match (broken, held && met > 0) {
            (true, _) => OrderVerdict::Broken,
            (false, true) => OrderVerdict::Held,
            (false, false) => OrderVerdict::Vacuous,
        };
        let mut notes = Vec::new();
        if idle > 0 {
            notes.push(format!("{idle} announced ranges of guest memory met nothing that was installed"));
        }
        if !self.laid_out {
            notes.push("it is not known how guest memory lies in the host: nothing that needs both could be asked".to_owned());
        }
        if self.samples == 0 {
            notes.push("the primary MMU was not looked at".to_owned());
        }
        let seconds = last.map_or(0.0, |last| names.us(last.at.tsc) / 1e6);
        Profile {
            version: VERSION,
            verdict,
            kernel: self.head.kernel,
            cpu: self.head.cpu,
            cpus: self.head.cpus.into(),
            mmu: self.head.mmu,
            ticks_per_us: self.head.hertz / 1e6,
            probes: self.head.probes,
            pid: self.head.pid,
            command: self.head.command,
            title: self.head.title,
            seconds,
            events,
            by_kind,
            missing: self.head.missing,
            lost,
            truncated: truncated.map(str::to_owned),
            rules,
            operations,
            timelines,
            notes,
        }
    }
}

impl Asked {
    /// Keeps what was going on when a rule was broken.
    fn look_around(&mut self, recent: &VecDeque<KernelEvent>) {
        while self.around.len() < self.found.examples.len() {
            let tid = self.found.examples[self.around.len()].1.tid;
            let mut around: Vec<_> = recent.iter().rev().filter(|event| event.at.tid == tid).take(AROUND).copied().collect();
            around.reverse();
            self.around.push(around);
        }
    }

    fn withdraw(&mut self, since: Tsc) {
        self.found.withdraw(since);
        self.around.truncate(self.found.examples.len());
    }

    fn result(&self, names: &Names<'_>, world: &World) -> RuleResult {
        let about = self.rule.about();
        let Findings { checks, breaks, ref examples, .. } = self.found;
        let state = match (breaks, checks) {
            (1.., _) => RuleState::Broken,
            (0, 1..) => RuleState::Held,
            (0, 0) => RuleState::NotAsked,
        };
        let nothing = || (state == RuleState::NotAsked).then(|| "nothing happened that it could be asked of".to_owned());
        let around = examples.iter().zip(&self.around);
        RuleResult {
            name: about.name.to_owned(),
            says: about.says.to_owned(),
            because: about.because.to_owned(),
            state,
            reason: self.blind.clone().or_else(nothing),
            checks,
            breaks,
            examples: around.take(EXAMPLES).map(|(broken, around)| names.breaks(broken, about.name, around, world)).collect(),
        }
    }
}
