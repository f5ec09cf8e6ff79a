//! Numbers as people read them: times from the beginning, threads by name, events as lines.

use super::{
    describe::{describe, name},
    event::{KernelEvent, What},
    order::{Operation, Shown},
    profile::{Break, EventLine, Stage, Timeline, TimelineEvent},
    rules::Broken,
    world::{InCall, World},
};
use crate::event::Tsc;
use std::collections::BTreeMap;

/// What turns numbers into what people read.
pub(super) struct Names<'a> {
    pub(super) threads: &'a BTreeMap<i32, String>,
    pub(super) first: Tsc,
    pub(super) hertz: f64,
}

impl Names<'_> {
    pub(super) fn us(&self, tsc: Tsc) -> f64 {
        let per_us = if self.hertz > 0.0 { self.hertz / 1e6 } else { 1.0 };
        (tsc.0 as f64 - self.first.0 as f64) / per_us
    }

    fn thread(&self, event: &KernelEvent) -> String {
        self.threads.get(&event.at.tid.0).cloned().unwrap_or_else(|| event.at.tid.to_string())
    }

    fn line(&self, event: &KernelEvent) -> EventLine {
        EventLine {
            tsc: event.at.tsc,
            at_us: self.us(event.at.tsc),
            cpu: event.at.cpu.into(),
            tid: event.at.tid.0,
            thread: self.thread(event),
            event: name(&event.what).to_owned(),
            text: describe(&event.what).to_string(),
        }
    }

    pub(super) fn breaks(&self, (at, broken): &(Tsc, Broken), rule: &str, around: &[KernelEvent], world: &World) -> Break {
        let mut events: Vec<KernelEvent> = broken.events.clone();
        for event in around {
            if !events.contains(event) {
                events.push(*event);
            }
        }
        events.sort_by_key(|event| event.at.tsc);
        let call = broken.events.iter().rev().find_map(|event| match event.what {
            What::Enter { call, args } if event.at.tid == broken.tid => Some(InCall { call, args, event: *event }),
            _ => None,
        });
        Break {
            rule: rule.to_owned(),
            what: broken.what.clone(),
            at_us: self.us(*at),
            hva: broken.hva,
            operation: Operation::of(broken.tid, call.as_ref(), world).name(self.threads),
            events: events.iter().map(|event| self.line(event)).collect(),
        }
    }

    pub(super) fn timeline(&self, shown: &Shown) -> Timeline {
        let start = shown.events.iter().find(|(stage, _)| *stage == Stage::Start).map(|(_, event)| *event);
        let zero = start.map_or(self.first, |event| event.at.tsc);
        let (first, last) = (shown.events.first(), shown.events.last());
        let took = first.zip(last).map_or(0.0, |((_, first), (_, last))| self.us(last.at.tsc) - self.us(first.at.tsc));
        Timeline {
            operation: shown.operation.name(self.threads),
            chosen: shown.chosen.to_owned(),
            order: shown.order.clone(),
            thread: start.map_or_else(String::new, |event| self.thread(&event)),
            start: shown.range.start(),
            end: shown.range.end(),
            at_us: self.us(zero),
            took_us: took,
            events: shown
                .events
                .iter()
                .map(|(stage, event)| {
                    let line = self.line(event);
                    TimelineEvent {
                        stage: *stage,
                        at_us: self.us(event.at.tsc) - self.us(zero),
                        cpu: line.cpu,
                        thread: line.thread,
                        event: line.event,
                        text: line.text,
                    }
                })
                .collect(),
        }
    }
}
