//! Kinds of events: what rules say they want to see.

use super::event::What;

macro_rules! kinds {
    ($($kind:ident),+ $(,)?) => {
        /// The kind of an event: [`What`] without its fields.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each is described at the variant of `What` with its name")]
        pub enum Kind {
            $($kind),+
        }

        impl Kind {
            /// All of them.
            pub const ALL: [Self; [$(Self::$kind),+].len()] = [$(Self::$kind),+];
        }

        impl What {
            /// Its kind.
            #[must_use]
            pub const fn kind(&self) -> Kind {
                match self {
                    $(Self::$kind { .. } => Kind::$kind),+
                }
            }
        }
    };
}

kinds!(
    Enter,
    Exit,
    NewTask,
    Unmap,
    ChangePte,
    RangeStart,
    RangeEnd,
    Begin,
    End,
    SlotUnmap,
    Flush,
    Requested,
    Set,
    Changed,
    FastFault,
    Fault,
    ZapTable,
    ZapAll,
    SetMigration,
    RemoveMigration,
    TlbFlush,
    Free,
);

/// `TLB_REMOTE_SHOOTDOWN`: an interrupt from somebody else, in whichever thread is running.
const REMOTE_SHOOTDOWN: u8 = 1;

impl What {
    /// Whether a thread that does this has come back from the announcement that it made before: KVM's handler is over, and with it the
    /// zapping of what it names. What happens inside the handler (zaps, flushes), and what an interrupt may do in anybody's name (pages
    /// freed, flushes for others) says nothing of that.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        match self {
            Self::TlbFlush { reason, .. } => *reason != REMOTE_SHOOTDOWN,
            Self::Enter { .. }
            | Self::Exit { .. }
            | Self::Unmap { .. }
            | Self::RangeStart { .. }
            | Self::RangeEnd { .. }
            | Self::Requested { .. }
            | Self::Set { .. }
            | Self::Fault { .. }
            | Self::SetMigration { .. }
            | Self::RemoveMigration { .. } => true,
            _ => false,
        }
    }

    /// Whether it is a flush of the host's TLB for the thread itself.
    #[must_use]
    pub const fn is_own_flush(&self) -> bool {
        matches!(self, Self::TlbFlush { reason, .. } if *reason != REMOTE_SHOOTDOWN)
    }
}
