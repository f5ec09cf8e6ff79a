//! Why a mutant was not killed, as far as that is known: from measurement and from the knowledge about the kernel's source.

use crate::{
    inside::Pair,
    memory::Backing,
    mutate::{
        Kind, Mutant,
        knowledge::{self, Reach, Release},
    },
    qemu::Accel,
};

/// What is said of a mutant that nothing reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ways {
    pub(super) text: String,
    /// Whether that is well.
    pub(super) expected: bool,
}

/// Why no scenario reaches `mutant`: what was `measured`, and what would have to be done.
pub(super) fn unreached(mutant: &Mutant, (release, accel): (&str, Accel), measured: &str) -> Ways {
    if let Some(argument) = argument(mutant, (release, accel), &[]) {
        return Ways { text: format!("{measured}; nobody could notice it anyway: {argument}"), expected: true };
    }
    let Some(caller) = knowledge::caller(&mutant.function) else {
        return Ways { text: format!("{measured}; nothing is known about {}", mutant.function), expected: false };
    };
    match caller.reach {
        Reach::Never(why) => Ways { text: format!("{measured}: {}; {why} ({})", caller.what, caller.source), expected: true },
        Reach::Operations(names) => {
            let text = format!("{measured}: {}; {} should get there ({})", caller.what, names.join(" or "), caller.source);
            Ways { text, expected: false }
        }
    }
}

/// The argument that nobody could notice `mutant` in a kernel of this `release`, on what the scenarios `pairs` use.
pub(super) fn argument(mutant: &Mutant, (release, accel): (&str, Accel), pairs: &[Pair]) -> Option<String> {
    let release: Release = release.parse().ok()?;
    let equivalence = knowledge::equivalence(mutant, release)?;
    let private = |pair: &Pair| pair.backing.parse::<Backing>().is_ok_and(|backing| !backing.is_shared());
    if equivalence.private_only && (pairs.is_empty() || !pairs.iter().all(private)) {
        return None;
    }
    if mutant.kind == Kind::Flush && accel != Accel::Tcg {
        return None;
    }
    Some(format!("{} (if {}; {})", equivalence.argument, equivalence.condition, equivalence.source))
}
