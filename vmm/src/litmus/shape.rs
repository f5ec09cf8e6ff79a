//! What rounds differ in. No way to bring threads together is best for every test, so all of them take turns; what each brought up is
//! counted, and the second half of a run comes back to what brought up rare states.

use super::cpus::Cpus;
use rand::RngExt;
use rand_xoshiro::Xoshiro256PlusPlus;
use std::fmt;

/// Something in which rounds differ, each with a few values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parameter {
    /// Bytes from an instance to the next in a page: neighbours share a cache line, or a page, or hardly anything.
    Stride,
    /// How many of the instances that there is room for take part: the fewer, the more of them a system call comes across.
    Instances,
    /// What the host's pages are, and so what the secondary MMU may map.
    Pages,
    /// Which processors carry the threads.
    Cpus,
    /// Whether all threads go through the instances from the first to the last, or each begins at some other.
    Order,
    /// Whether a thread does an instance as a whole, or goes through all of them up to some step, and comes again for the rest.
    Visit,
    /// Who begins late.
    Start,
    /// When the system call comes.
    Operation,
    /// How pages are moved.
    Mover,
}

/// Values of a parameter, at the most.
pub(super) const VALUES: usize = 4;

impl Parameter {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Stride,
        Self::Instances,
        Self::Pages,
        Self::Cpus,
        Self::Order,
        Self::Visit,
        Self::Start,
        Self::Operation,
        Self::Mover,
    ];

    /// Its name in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stride => "stride",
            Self::Instances => "instances",
            Self::Pages => "pages",
            Self::Cpus => "cpus",
            Self::Order => "order",
            Self::Visit => "visit",
            Self::Start => "start",
            Self::Operation => "operation",
            Self::Mover => "mover",
        }
    }

    /// The names of its values.
    #[must_use]
    pub const fn values(self) -> &'static [&'static str] {
        match self {
            Self::Stride => &["16 bytes apart", "64 bytes apart", "512 bytes apart"],
            Self::Instances => {
                &["all instances", "half of the instances", "a quarter of the instances", "an eighth of the instances"]
            }
            Self::Pages => &["4 KiB pages", "2 MiB pages"],
            Self::Cpus => &["any CPU", "a CPU each", "one CPU"],
            Self::Order => &["in step", "from anywhere"],
            Self::Visit => &["whole", "cut in two"],
            Self::Start => &["together", "guests late", "hosts late"],
            Self::Operation => &["operation at once", "operation early", "operation late"],
            Self::Mover => &["collapsed", "moved between nodes"],
        }
    }
}

/// Something for each value of each parameter.
pub type ByValue<T> = [[T; VALUES]; Parameter::ALL.len()];

/// Which values can be had: a bit for each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Possible([u8; Parameter::ALL.len()]);

impl Possible {
    /// All values.
    pub(super) fn all() -> Self {
        Self(Parameter::ALL.map(|parameter| (1 << parameter.values().len()) - 1))
    }

    /// Only the first value, which is the usual one.
    pub(super) fn only_first(self, parameter: Parameter) -> Self {
        self.only(parameter, 0)
    }

    /// Only this value.
    pub(super) fn only(mut self, parameter: Parameter, value: usize) -> Self {
        self.0[parameter as usize] = 1 << value;
        self
    }

    /// Whether there is a choice.
    pub(super) fn varies(&self, parameter: Parameter) -> bool {
        self.0[parameter as usize].count_ones() > 1
    }

    fn has(&self, parameter: Parameter, value: usize) -> bool {
        self.0[parameter as usize] & 1 << value != 0
    }
}

/// A value of each parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Shape([u8; Parameter::ALL.len()]);

impl Shape {
    /// Chooses each value by its weight, independently of the others.
    pub(super) fn draw(random: &mut Xoshiro256PlusPlus, possible: &Possible, weights: &ByValue<f64>) -> Self {
        Self(Parameter::ALL.map(|parameter| {
            let weight = |value: usize| if possible.has(parameter, value) { weights[parameter as usize][value] } else { 0.0 };
            let sum: f64 = (0..VALUES).map(weight).sum();
            let mut at = if sum > 0.0 { random.random_range(0.0..sum) } else { 0.0 };
            let last = (0..VALUES).rev().find(|&value| possible.has(parameter, value)).unwrap_or(0);
            let found = (0..VALUES).find(|&value| {
                at -= weight(value);
                at < 0.0 && possible.has(parameter, value)
            });
            found.unwrap_or(last) as u8
        }))
    }

    /// The number of its value.
    pub(super) const fn get(&self, parameter: Parameter) -> usize {
        self.0[parameter as usize] as usize
    }

    /// Bytes from an instance to the next.
    pub(super) const fn stride(&self) -> usize {
        [16, 64, 512][self.get(Parameter::Stride)]
    }

    /// Whether the host's pages are huge.
    pub(super) const fn is_huge(&self) -> bool {
        self.get(Parameter::Pages) == 1
    }

    /// Which processors carry the threads.
    pub(super) const fn cpus(&self) -> Cpus {
        [Cpus::Any, Cpus::Apart, Cpus::One][self.get(Parameter::Cpus)]
    }

    /// Whether pages are moved between nodes, and not collapsed.
    pub(super) const fn between_nodes(&self) -> bool {
        self.get(Parameter::Mover) == 1
    }

    /// Adds to what belongs to its values.
    pub(super) fn add(&self, to: &mut ByValue<u64>, number: u64) {
        to.iter_mut().zip(self.0).for_each(|(values, value)| values[value as usize] += number);
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Parameter::ALL.iter().map(|&parameter| parameter.values()[self.get(parameter)]);
        f.write_str(&names.collect::<Vec<_>>().join(", "))
    }
}

/// Every value as likely as any other.
pub(super) const EVEN: ByValue<f64> = [[1.0; VALUES]; Parameter::ALL.len()];

/// How likely each value should be to bring up again what came up so often by value, of so many `instances`: as its rate says, and
/// never so seldom that nothing new would be learnt of it.
pub(super) fn dwell(times: &ByValue<u64>, instances: &ByValue<u64>) -> ByValue<f64> {
    const FLOOR: f64 = 0.15;
    std::array::from_fn(|parameter| {
        let rate = |value: usize| times[parameter][value] as f64 / instances[parameter][value].max(1) as f64;
        let sum: f64 = (0..VALUES).map(rate).sum();
        std::array::from_fn(|value| FLOOR + if sum > 0.0 { rate(value) / sum } else { 0.0 })
    })
}

/// What brings something up most often, of what came up so often by value: the values with which it does at least twice as often as with
/// the others of the same parameter. None where nothing does.
#[must_use]
pub fn telling(times: &ByValue<u64>, instances: &ByValue<u64>) -> Option<String> {
    /// Of fewer sightings, chance makes such differences.
    const ENOUGH: u64 = 20;
    let names = Parameter::ALL.iter().enumerate().filter_map(|(at, parameter)| {
        let (seen, all): (u64, u64) = (times[at].iter().sum(), instances[at].iter().sum());
        let best = (0..parameter.values().len()).max_by(|&a, &b| {
            let rate = |value: usize| times[at][value] as f64 / instances[at][value].max(1) as f64;
            rate(a).total_cmp(&rate(b))
        })?;
        let (here, of) = (times[at][best], instances[at][best]);
        let others = (seen - here) as f64 / (all - of).max(1) as f64;
        (seen >= ENOUGH && all > of && here as f64 / of.max(1) as f64 >= 2.0 * others).then(|| parameter.values()[best])
    });
    Some(names.collect::<Vec<_>>().join(", ")).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn draws(possible: &Possible, weights: &ByValue<f64>) -> ByValue<u64> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
        let mut counts = ByValue::default();
        (0..2000).for_each(|_| Shape::draw(&mut random, possible, weights).add(&mut counts, 1));
        counts
    }

    #[test]
    fn every_value_that_is_possible_comes_and_no_other_does() {
        let possible = Possible::all().only(Parameter::Stride, 2).only_first(Parameter::Pages).only(Parameter::Mover, 1);
        let counts = draws(&possible, &EVEN);
        for parameter in Parameter::ALL {
            for (value, count) in counts[parameter as usize].iter().enumerate() {
                assert_eq!(*count > 0, possible.has(parameter, value), "{parameter:?} {value}");
            }
        }
        assert!(possible.varies(Parameter::Cpus) && !possible.varies(Parameter::Pages));
    }

    #[test]
    fn what_brings_something_up_comes_more_often_and_is_named() {
        let (mut times, instances) = (ByValue::default(), [[1000; VALUES]; Parameter::ALL.len()]);
        let late = Parameter::Operation as usize;
        times[late] = [1, 2, 40, 0];
        let counts = draws(&Possible::all(), &dwell(&times, &instances));
        assert!(counts[late][2] > 2 * counts[late][0] && counts[late][0] > 50, "{:?}", counts[late]);
        assert_eq!(telling(&times, &instances).as_deref(), Some("operation late"));
        times[late] = [1, 2, 4, 0];
        assert_eq!(telling(&times, &instances), None, "too few to say");
        times[late] = [100, 101, 102, 0];
        assert_eq!(telling(&times, &instances), None, "nothing is better than anything else");
    }

    #[test]
    fn the_names_of_all_values_differ() {
        let names: Vec<_> = Parameter::ALL.iter().flat_map(|parameter| parameter.values()).collect();
        let different: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), different.len());
        assert!(Parameter::ALL.iter().all(|parameter| (2..=VALUES).contains(&parameter.values().len())));
        assert!(Parameter::ALL.iter().enumerate().all(|(at, parameter)| *parameter as usize == at));
    }
}
