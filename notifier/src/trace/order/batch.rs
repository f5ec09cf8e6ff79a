//! A recording cut into parts of equal time, before anybody knows how long it will be.

use crate::trace::profile::BATCHES;

/// Something that two neighbouring parts have one of each, and their union has one.
pub(super) trait Merge: Default {
    /// Takes in that of the neighbour.
    fn merge(&mut self, other: Self);
}

impl Merge for u64 {
    fn merge(&mut self, other: Self) {
        *self += other;
    }
}

/// When a part begins and ends: parts grow to twice their size whenever there would be too many.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    from: Option<u64>,
    /// log2 of the ticks of a part.
    width: u32,
}

impl Default for Cut {
    fn default() -> Self {
        // 16 million ticks, some milliseconds: less than any recording that is worth comparing.
        Self { from: None, width: 24 }
    }
}

impl Cut {
    /// The part that a time is in; the parts may have grown, which `widths` say.
    pub(super) fn part(&mut self, tsc: u64) -> usize {
        let from = *self.from.get_or_insert(tsc);
        let elapsed = tsc.saturating_sub(from);
        while elapsed >> self.width >= BATCHES as u64 {
            self.width += 1;
        }
        (elapsed >> self.width) as usize
    }

    pub(super) const fn width(self) -> u32 {
        self.width
    }
}

/// One thing for each part.
#[derive(Clone, Debug)]
pub(super) struct Parts<T> {
    parts: Vec<T>,
    width: u32,
}

impl<T> Default for Parts<T> {
    fn default() -> Self {
        Self { parts: Vec::new(), width: Cut::default().width }
    }
}

impl<T: Merge> Parts<T> {
    fn grow_to(&mut self, width: u32) {
        while self.width < width {
            self.width += 1;
            let mut parts = std::mem::take(&mut self.parts).into_iter();
            while let Some(mut even) = parts.next() {
                if let Some(odd) = parts.next() {
                    even.merge(odd);
                }
                self.parts.push(even);
            }
        }
    }

    /// That of a part of `cut`.
    pub(super) fn at(&mut self, part: usize, cut: Cut) -> &mut T {
        self.grow_to(cut.width());
        if self.parts.len() <= part {
            self.parts.resize_with(part + 1, T::default);
        }
        &mut self.parts[part]
    }

    /// All of them, as `cut` has it at the end, when `last` is the last part.
    pub(super) fn all(mut self, last: usize, cut: Cut) -> Vec<T> {
        self.grow_to(cut.width());
        self.parts.resize_with(last + 1, T::default);
        self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_long_it_gets_there_are_few_parts_and_nothing_is_lost() {
        let mut cut = Cut::default();
        let (mut often, mut once) = (Parts::<u64>::default(), Parts::<u64>::default());
        let start = 1_u64 << 50;
        let part = cut.part(start + (1 << 20));
        *once.at(part, cut) += 1;
        let mut last = 0;
        for step in 0..10_000_u64 {
            last = cut.part(start + (step << 25));
            *often.at(last, cut) += 1;
        }
        let (often, once) = (often.all(last, cut), once.all(last, cut));
        assert!((BATCHES / 2..=BATCHES).contains(&often.len()), "{}", often.len());
        assert_eq!(often.iter().sum::<u64>(), 10_000);
        assert_eq!((once[0], once.iter().sum::<u64>()), (1, 1));
        let even = often[..often.len() - 1].iter();
        assert!(even.clone().all(|part| part.abs_diff(often[0]) <= 1), "{often:?}");
    }
}
