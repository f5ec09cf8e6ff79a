//! *Freshness* (and the reading half of *third thread*): a guest read that follows a publication finds what was published, or
//! something newer. The guest checks this itself, on every visit (`nostale_guest::visit`); here its findings get their names.

use super::{Access, Oracle, PageDump, Violation};
use crate::{machine::GuestFinding, memory::Arena};
use nostale_guest::abi::Check;

/// The rule that a guest's finding breaks, and the finding in words.
#[must_use]
pub fn violation(finding: GuestFinding, operation: &str, arena: &Arena) -> Violation {
    let GuestFinding { vcpu, check, page, published, found, tsc } = finding;
    let (oracle, promise) = match check {
        Check::Returned => (Oracle::Freshness, "an operation had returned that installed generation"),
        Check::Seen => (Oracle::ThirdThread, "a host thread had already seen generation"),
        Check::Value => (Oracle::Freshness, "the host had published value"),
    };
    Violation {
        page: Some(page),
        range: arena.home().part(page, 1),
        writer: Some(format!("vcpu {vcpu}")),
        access: Some(Access::Read),
        expected: published,
        found,
        tsc,
        pages: dumps(arena, page),
        ..Violation::new(oracle, operation, format!("vcpu {vcpu} read page {page}: {promise} {published}, but it found {found}"))
    }
}

/// The page as it can be seen now: at home, where an operation has put it, and through the witness.
fn dumps(arena: &Arena, page: u64) -> Vec<PageDump> {
    if page >= arena.pages() {
        return Vec::new();
    }
    let places = [
        (Some(arena.hva(page)), "through the primary MMU"),
        (arena.away(page, 1).map(|away| away.start()), "where an operation has put it"),
        (arena.aside(page, 1).map(|aside| aside.start()), "as it was for a while"),
    ];
    let seen = places.into_iter().filter_map(|(at, how)| Some((arena.snapshot(at?).ok()?, how)));
    let frame =
        arena.frame_of(page).and_then(|frame| arena.snapshot_frame(frame)).map(|snapshot| (snapshot, "through the witness"));
    let dump = |(snapshot, how)| PageDump { what: format!("page {page} {how}, when the finding arrived"), snapshot };
    seen.chain(frame).map(dump).collect()
}
