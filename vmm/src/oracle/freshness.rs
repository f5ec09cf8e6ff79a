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
    let mut pages = Vec::new();
    if page < arena.pages() {
        if let Ok(snapshot) = arena.snapshot(arena.hva(page)) {
            pages.push(PageDump { what: format!("page {page} through the primary MMU, when the finding arrived"), snapshot });
        }
    }
    Violation {
        oracle,
        operation: operation.to_owned(),
        page: Some(page),
        range: arena.home().part(page, 1),
        writer: Some(format!("vcpu {vcpu}")),
        access: Some(Access::Read),
        expected: published,
        found,
        tsc,
        detail: format!("vcpu {vcpu} read page {page}: {promise} {published}, but it found {found}"),
        events: Vec::new(),
        pages,
    }
}
