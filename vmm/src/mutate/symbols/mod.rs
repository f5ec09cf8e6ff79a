//! The text symbols of a running kernel, from the `/proc/kallsyms` that it prints.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, ops::Range};
use thiserror::Error;

/// Text is mapped in pages, so whatever a last function's page holds can be read.
const PAGE: u64 = 4096;

/// `CONFIG_FUNCTION_PADDING_BYTES` is at most 59, and then there may be a hash in front.
const MOST_PADDING: u64 = 64;

/// What marks the padding before a function, from which nothing is called by this name.
const PADDING: &str = "__pfx_";

/// What is wrong with a list of symbols.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SymbolsError {
    /// A line that is not "address type name \[module\]".
    #[error("line {line} of kallsyms is cut short or garbled: {text:?}; have the guest print it once more")]
    Garbled {
        /// Which, counted from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// Addresses are hidden from whoever read the file.
    #[error("kallsyms shows no addresses; read it as root with kernel.kptr_restrict=0")]
    Hidden,
    /// The symbols around the kernel's text are missing.
    #[error("kallsyms has no {0}: this is not the list of an x86-64 kernel, or a part of one")]
    NoText(&'static str),
}

/// A stretch of text that begins at a symbol and ends at the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its first byte.
    pub address: u64,
    /// The first byte that is not its own.
    pub end: u64,
    /// Its symbol; of several at one address the first that kallsyms has.
    pub name: String,
    /// The other symbols at the same address.
    pub aliases: Vec<String>,
    /// The module it is in, none for the kernel itself.
    pub module: Option<String>,
}

impl Function {
    /// The name that it has in the source.
    #[must_use]
    pub fn base(&self) -> &str {
        base(&self.name)
    }

    /// Whether one of its symbols has this name in the source.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.base() == name || self.aliases.iter().any(|alias| base(alias) == name)
    }

    /// Whether it is a rarely used part of a function that the compiler moved out of the way.
    #[must_use]
    pub fn is_cold(&self) -> bool {
        self.name.split('.').skip(1).any(|part| part == "cold")
    }
}

/// The name in the source of a symbol: `foo` for `foo.cold`, `foo.part.0`, `foo.isra.0` and `foo.constprop.0`.
#[must_use]
pub fn base(symbol: &str) -> &str {
    // A dot cannot be in an identifier of C, so whatever follows one is the compiler's.
    match symbol.find('.') {
        Some(at) if at > 0 => &symbol[..at],
        _ => symbol,
    }
}

/// All functions of a running kernel and its modules, in the order of their addresses.
#[derive(Clone, Debug)]
pub struct Symbols {
    functions: Vec<Function>,
    /// Symbols that bound things: `_stext`, `__start_rodata` and the like.
    bounds: HashMap<String, u64>,
}

struct Entry<'a> {
    address: u64,
    kind: u8,
    name: &'a str,
    module: Option<&'a str>,
}

impl Symbols {
    /// Reads what a guest printed.
    ///
    /// Only text counts: what lies outside of `_stext.._etext` and belongs to no module (the text of the boot, long freed) is
    /// left out, and so are pseudo-modules, whose text is generated (`[bpf]`, `[__builtin__ftrace]`).
    ///
    /// # Errors
    /// A line that is cut short, hidden addresses, or no kernel text.
    pub fn parse(kallsyms: &str) -> Result<Self, SymbolsError> {
        let mut entries = Vec::new();
        for (index, line) in kallsyms.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let garbled = || SymbolsError::Garbled { line: index + 1, text: line.trim().to_owned() };
            entries.push(entry(line).ok_or_else(garbled)?);
        }
        if !entries.is_empty() && entries.iter().all(|entry| entry.address == 0) {
            return Err(SymbolsError::Hidden);
        }
        let bounds: HashMap<_, _> = entries
            .iter()
            .filter(|entry| entry.module.is_none() && BOUNDS.contains(&entry.name))
            .map(|entry| (entry.name.to_owned(), entry.address))
            .collect();
        let bound = |name: &'static str| bounds.get(name).copied().ok_or(SymbolsError::NoText(name));
        let core = bound("_stext")?..bound("_etext")?;
        // Stable: of several symbols at one address the first stays first.
        entries.sort_by_key(|entry| entry.address);
        Ok(Self { functions: functions(&entries, &core), bounds })
    }

    /// All functions, in the order of their addresses.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The function that an address is in, and how far in.
    #[must_use]
    pub fn at(&self, address: u64) -> Option<(&Function, u64)> {
        let index = self.functions.partition_point(|function| function.address <= address);
        let function = self.functions.get(index.checked_sub(1)?)?;
        (address < function.end).then(|| (function, address - function.address))
    }

    /// Where the padding before a function begins; its own address when it has none.
    #[must_use]
    pub fn padding(&self, function: &Function) -> u64 {
        let index = self.functions.partition_point(|other| other.address < function.address);
        let before =
            index.checked_sub(1).and_then(|index| self.functions.get(index)).map_or(function.address, |before| before.end);
        if (1..=MOST_PADDING).contains(&function.address.saturating_sub(before)) { before } else { function.address }
    }

    /// The functions with a symbol of exactly this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Function> {
        self.functions.iter().filter(move |function| function.name == name || function.aliases.iter().any(|alias| alias == name))
    }

    /// The data between two of the linker's symbols that could hold a pointer to a function.
    #[must_use]
    pub fn data(&self) -> Vec<Range<u64>> {
        let range = |(start, end): &(&str, &str)| Some(*self.bounds.get(*start)?..*self.bounds.get(*end)?);
        DATA.iter().filter_map(range).filter(|range| !range.is_empty()).collect()
    }

    /// An address as `function+0x1f`, the way the kernel prints it.
    #[must_use]
    pub fn describe(&self, address: u64) -> String {
        match self.at(address) {
            Some((function, offset)) => format!("{}+{offset:#x}", function.name),
            None => format!("{address:#x}"),
        }
    }
}

/// Where the linker says that tables of constants and variables are.
const DATA: [(&str, &str); 2] = [("__start_rodata", "__end_rodata"), ("_sdata", "_edata")];
const BOUNDS: [&str; 6] = ["_stext", "_etext", DATA[0].0, DATA[0].1, DATA[1].0, DATA[1].1];

fn entry(line: &str) -> Option<Entry<'_>> {
    let mut fields = line.split_ascii_whitespace();
    let address = u64::from_str_radix(fields.next()?, 16).ok()?;
    let &[kind] = fields.next()?.as_bytes() else { return None };
    let name = fields.next()?;
    let module = match fields.next() {
        Some(module) => Some(module.strip_prefix('[')?.strip_suffix(']')?),
        None => None,
    };
    fields.next().is_none().then_some(Entry { address, kind, name, module })
}

fn functions(entries: &[Entry<'_>], core: &Range<u64>) -> Vec<Function> {
    let is_text = |entry: &Entry<'_>| {
        matches!(entry.kind, b't' | b'T' | b'w' | b'W')
            && match entry.module {
                Some(module) => module != "bpf" && !module.starts_with("__builtin"),
                None => core.contains(&entry.address),
            }
    };
    let mut functions: Vec<Function> = Vec::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| is_text(entry)) {
        // The padding has a symbol so that nobody takes it for the end of the function before it: it ends that function.
        if let Some(last) = functions.last_mut().filter(|last| last.address == entry.address) {
            last.aliases.push(entry.name.to_owned());
            continue;
        }
        let later = entries[index..].iter().find(|later| later.address > entry.address);
        let end = match entry.module {
            None => later.map_or(core.end, |later| later.address.min(core.end)),
            // Of a module's last function nothing says where it ends, and what follows its page may not be mapped.
            Some(_) => {
                let page = (entry.address / PAGE + 1) * PAGE;
                later.filter(|later| later.module == entry.module || later.address < page).map_or(page, |later| later.address)
            }
        };
        functions.push(Function {
            address: entry.address,
            end,
            name: entry.name.to_owned(),
            aliases: Vec::new(),
            module: entry.module.map(str::to_owned),
        });
    }
    functions.retain(|function| !function.name.starts_with(PADDING));
    functions
}
