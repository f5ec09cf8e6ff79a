//! What the secondary MMU maps is what the primary MMU maps.

use super::{About, Broken, Findings, Rule};
use crate::{
    HvaRange, Pfn,
    addr::PAGE_SIZE,
    trace::{event::PrimarySample, world::World},
};

static ABOUT: About = About {
    name: "primary",
    says: "wherever the secondary MMU maps a page, the primary MMU maps the same frame",
    because: "that is what coherent means: an entry goes before its mapping changes, and comes after (Documentation/mm/mmu_notifier.rst)",
    kinds: &[],
    asks: |_| Ok(()),
};

/// `Documentation/admin-guide/mm/pagemap.rst`.
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

#[derive(Debug)]
pub(super) struct Primary;

impl Rule for Primary {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn sample(&mut self, sample: &PrimarySample, world: &World, found: &mut Findings) {
        let Some(range) = HvaRange::new(sample.start, sample.entries.len() as u64) else { return };
        for (_, entry) in world.mirror.within(range) {
            // It was there before anybody looked, and has not gone until they had finished.
            if entry.doubtful || entry.event.at.tsc >= sample.from {
                continue;
            }
            let Some(own) = entry.range() else { continue };
            let first = own.start().max(range.start());
            let last = own.end().min(range.end());
            let mut hva = first;
            while hva < last {
                let at = hva.offset_from(sample.start).map_or(0, |bytes| bytes / PAGE_SIZE) as usize;
                let raw = sample.entries.get(at).copied().unwrap_or(0);
                let mapped = (raw & PRESENT != 0).then(|| Pfn::new(raw & FRAME));
                // Without the right to see frames, all of them read as 0.
                let alike = mapped.is_some_and(|pfn| pfn == Pfn::new(0) || entry.pfn_at(hva) == Some(pfn));
                if alike {
                    found.holds();
                } else {
                    let page = hva;
                    found.breaks(sample.to, || Broken {
                        what: match mapped {
                            Some(pfn) => format!(
                                "gfn {} maps frame {}, and the primary MMU maps frame {pfn} at {page}",
                                entry.gfn, entry.pfn
                            ),
                            None => {
                                format!("gfn {} maps frame {}, and the primary MMU maps nothing at {page}", entry.gfn, entry.pfn)
                            }
                        },
                        hva: Some(page),
                        tid: entry.event.at.tid,
                        events: vec![entry.event],
                    });
                }
                let Some(next) = hva.checked_add(PAGE_SIZE) else { break };
                hva = next;
            }
        }
    }
}
