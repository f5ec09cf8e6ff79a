//! Where each element of a state stands in its packed words.

use crate::model::{Model, State, VarId};

/// The most words a packed state may have.
pub(super) const MAX_WORDS: usize = 16;

/// The model's state does not fit into the widest packed state that the explorer knows.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a state of this model takes {bits} bits, of which {max} can be kept; the widest variables are {}", list(.widest))]
pub struct TooWide {
    /// What the state takes.
    pub bits: u32,
    /// What it may take.
    pub max: u32,
    /// The variables that take most of it, and their bits.
    pub widest: Vec<(String, u32)>,
}

fn list(widest: &[(String, u32)]) -> String {
    let each: Vec<_> = widest.iter().map(|(name, bits)| format!("{name} ({bits})")).collect();
    each.join(", ")
}

/// Where one element stands. No element straddles words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Field {
    pub(super) word: u8,
    pub(super) shift: u8,
    /// Its bits, before they are shifted.
    pub(super) mask: u32,
    /// The greatest value, counted from the least.
    pub(super) span: u32,
    /// The least value, which is kept as 0.
    pub(super) lo: i32,
}

impl Field {
    /// The element's value.
    #[inline(always)]
    pub(super) fn get(&self, words: &[u64]) -> i32 {
        (((words[self.word as usize] >> self.shift) as u32) & self.mask).wrapping_add_signed(self.lo) as i32
    }

    /// Gives the element a value, which has to be one of its domain.
    #[inline(always)]
    pub(super) fn set(&self, words: &mut [u64], value: i32) {
        let raw = self.raw(value);
        let word = &mut words[self.word as usize];
        *word = *word & !self.bits() | u64::from(raw) << self.shift;
    }

    /// The value as it is kept, before it is shifted.
    #[inline(always)]
    pub(super) fn raw(&self, value: i32) -> u32 {
        let raw = value.wrapping_sub(self.lo) as u32;
        debug_assert!(raw <= self.span, "the compiler lets {value} into a variable from {} to {} more", self.lo, self.span);
        raw & self.mask
    }

    /// Whether the domain has this value.
    pub(super) fn holds(&self, value: i32) -> bool {
        i64::from(value) >= i64::from(self.lo) && i64::from(value) - i64::from(self.lo) <= i64::from(self.span)
    }

    /// The element's bits in its word.
    #[inline(always)]
    pub(super) fn bits(&self) -> u64 {
        u64::from(self.mask) << self.shift
    }
}

/// Where every element stands.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// One for each element, in the order of [`State`].
    pub(super) fields: Vec<Field>,
    /// The first element of each variable, and the end.
    first: Vec<u32>,
    /// Words in use.
    pub(super) words: usize,
    /// Bits in use.
    pub(super) bits: u32,
}

impl Layout {
    /// Places the widest elements first, each into the first word with room for it: that fills words nearly always, and keeps the
    /// elements of a variable together, since they are equally wide.
    pub(super) fn new(model: &Model) -> Result<Layout, TooWide> {
        let mut fields = Vec::new();
        let mut first = vec![0];
        for var in &model.vars {
            let span = var.domain.hi.wrapping_sub(var.domain.lo) as u32;
            let mask = u32::MAX.checked_shr(span.leading_zeros()).unwrap_or(0);
            fields.extend(var.elements.iter().map(|_| Field { word: 0, shift: 0, mask, span, lo: var.domain.lo }));
            first.push(fields.len() as u32);
        }
        let bits = fields.iter().map(|field| field.mask.count_ones()).sum();
        let mut order: Vec<usize> = (0..fields.len()).collect();
        order.sort_by_key(|&element| std::cmp::Reverse(fields[element].mask));
        let mut used: Vec<u32> = vec![0];
        for element in order {
            let width = fields[element].mask.count_ones();
            let word = used.iter().position(|used| used + width <= u64::BITS).unwrap_or(used.len());
            if word == used.len() {
                used.push(0);
            }
            if width > 0 && word < MAX_WORDS {
                (fields[element].word, fields[element].shift) = (word as u8, used[word] as u8);
            }
            used[word] += width;
        }
        if used.len() > MAX_WORDS {
            let mut widest: Vec<_> = model
                .vars
                .iter()
                .zip(first.windows(2))
                .map(|(var, range)| {
                    let elements = &fields[range[0] as usize..range[1] as usize];
                    (var.name.clone(), elements.iter().map(|field| field.mask.count_ones()).sum())
                })
                .collect();
            widest.sort_by_key(|(_, bits)| std::cmp::Reverse(*bits));
            widest.truncate(5);
            return Err(TooWide { bits, max: MAX_WORDS as u32 * u64::BITS, widest });
        }
        Ok(Layout { fields, first, words: used.len(), bits })
    }

    /// The elements of a variable.
    pub(super) fn elements(&self, var: VarId) -> std::ops::Range<usize> {
        self.first[var.0 as usize] as usize..self.first[var.0 as usize + 1] as usize
    }

    /// The first state of the model, packed.
    pub(super) fn first<const W: usize>(&self, model: &Model) -> [u64; W] {
        self.pack(&State(model.vars.iter().flat_map(|var| &var.elements).map(|element| element.init).collect()))
    }

    /// A state, packed.
    pub(super) fn pack<const W: usize>(&self, state: &State) -> [u64; W] {
        let mut words = [0; W];
        for (field, value) in self.fields.iter().zip(&state.0) {
            field.set(&mut words, *value);
        }
        words
    }

    /// The state that words hold.
    pub(super) fn unpack(&self, words: &[u64]) -> State {
        State(self.fields.iter().map(|field| field.get(words)).collect())
    }
}
