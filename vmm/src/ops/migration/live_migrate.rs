//! `live-migrate`: the guest is moved to a VM in another process while its writers run, stays there for a while, and comes back.
//!
//! A share of the destinations is killed before the hand-over: then the guest goes on here as if nothing had been.

use crate::{
    live::Plant,
    machine::{Demands, GuestFinding, Tracking},
    memory::Backing,
    migration::{self, Going, MigrationError, Ways},
    ops::{Bed, Done, Effect, HostOperation, Made, Operation, OperationError, Rng},
    oracle::{Oracle, Violation, freshness},
};
use nostale_notifier::event::Stage;
use rand::RngExt;
use std::time::{Duration, Instant};

/// Entries of each vCPU's ring: a few milliseconds' worth of a guest that writes as fast as it can.
const RING: u32 = 4096;
/// One destination in this many is killed.
const DOOMED: u32 = 6;
/// How long guests stay away, at most: mostly a few thousand visits, each of which meets a page for the first time there;
const STAY: Duration = Duration::from_millis(60);
/// sometimes so long that they meet all of them.
const LONG_STAY: Duration = Duration::from_millis(500);

/// What all of them have in common.
const USUAL: Operation = Operation {
    machine: Demands { tracking: Some(Tracking::Log), ..Demands::VM },
    rejects: |other, backing| {
        if other.machine.vm {
            Some("it changes the memslots or reads the dirty log that the migration goes by")
        } else if other.on(backing) != Effect::Preserves {
            Some("it replaces contents, and a guest that is away has its own")
        } else {
            None
        }
    },
    share: 3,
    weight: 2,
    faults: &[Plant::MissedDirty],
    ..Operation::USUAL
};

/// Pre-copy by the dirty log and post-copy by turns.
pub(in crate::ops) static EITHER: Operation = Operation {
    name: "live-migrate",
    summary: "move the running guest to a VM in another process and back: pre-copy by dirty log, post-copy by userfaultfd, by turns",
    usual: &[Backing::ANON],
    more: &[Backing::MEMFD],
    needs: |facts, _| facts.need_uffd(),
    make: |bed, _| made(bed, Kind::Either),
    ..USUAL
};

/// Pre-copy by the dirty log.
pub(in crate::ops) static LOG: Operation = Operation {
    name: "live-migrate-log",
    summary: "move the running guest there and back by pre-copy with the dirty log",
    make: |bed, _| made(bed, Kind::PreCopy),
    ..USUAL
};

/// Pre-copy by dirty rings.
pub(in crate::ops) static RINGS: Operation = Operation {
    name: "live-migrate-ring",
    summary: "move the running guest there and back by pre-copy with dirty rings",
    usual: &[Backing::ANON],
    needs: |facts, _| facts.need_dirty_ring(),
    machine: Demands { tracking: Some(Tracking::Ring { entries: RING }), ..Demands::VM },
    make: |bed, _| made(bed, Kind::PreCopy),
    ..USUAL
};

/// Post-copy.
pub(in crate::ops) static POST: Operation = Operation {
    name: "live-migrate-post",
    summary: "move the running guest there by post-copy with userfaultfd, of all pages or of what one pass has left, and back",
    needs: |facts, _| facts.need_uffd(),
    make: |bed, _| made(bed, Kind::PostCopy),
    ..USUAL
};

#[derive(Clone, Copy, Debug)]
enum Kind {
    PreCopy,
    PostCopy,
    Either,
}

struct LiveMigrate {
    kind: Kind,
    /// What one there and back takes; unknown before the first.
    takes: Option<Duration>,
}

fn made(bed: &Bed<'_>, kind: Kind) -> Made {
    bed.arena.use_devices();
    Ok(Box::new(LiveMigrate { kind, takes: None }))
}

impl HostOperation for LiveMigrate {
    fn perform(&mut self, bed: &Bed<'_>, rng: &mut Rng) -> Result<Done, OperationError> {
        let post = if rng.random_bool(0.5) { Ways::PostCopy } else { Ways::PostCopyAfterPass };
        let way = match self.kind {
            Kind::PreCopy => Ways::PreCopy,
            Kind::PostCopy => post,
            Kind::Either => {
                if rng.random_bool(0.5) {
                    Ways::PreCopy
                } else {
                    post
                }
            }
        };
        // The first one tells how long it takes, and so when one can be killed.
        let doomed = rng.random_range(0..DOOMED) == 0;
        let doom = self.takes.filter(|_| doomed).map(|takes| takes.mul_f64(rng.random_range(0.0..1.0)));
        let finding = |finding: GuestFinding| bed.watch.report(freshness::violation(finding, bed.actor.1, bed.arena));
        let going = Going {
            vm: bed.vm()?,
            arena: bed.arena,
            finding: &finding,
            way,
            stay: if rng.random_range(0..4) == 0 { LONG_STAY } else { STAY }.mul_f64(rng.random_range(0.0..1.0)),
            doom,
            stop: bed.stop,
            forgets: bed.forgets(),
        };
        let begin = Instant::now();
        bed.note(Stage::OperationStart, bed.arena.home(), 0);
        let journey = match migration::migrate(&going) {
            Err(MigrationError::CalledOff) => return Ok(Done::Busy),
            Err(error) if error.is_the_guests_end() => {
                bed.watch.report(Violation::new(Oracle::Progress, bed.actor.1, error.to_string()));
                return Err(error.into());
            }
            other => other?,
        };
        bed.note(Stage::Returned, bed.arena.home(), 0);
        let Some(journey) = journey else {
            bed.journeys().survived();
            return Ok(Done::Busy);
        };
        self.takes = Some(begin.elapsed());
        bed.journeys().add(&journey);
        Ok(Done::Pages(journey.there.pages))
    }
}
