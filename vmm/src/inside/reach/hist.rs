//! The text form of a kernel histogram (`Documentation/trace/histogram.rst`), with places in the kernel's text as its keys.

/// A place in the kernel's text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// `function+0xoffset`, with ` [module]` behind it for a module's.
    pub(super) site: String,
    /// Its address, where it is shown.
    pub(super) address: Option<u64>,
}

/// One line, or one stack, and how often it was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The places: one for a return address, innermost first for a stack.
    pub(super) frames: Vec<Frame>,
    /// How often.
    pub(super) hits: u64,
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Histogram {
    /// The lines.
    pub(super) entries: Vec<Entry>,
    /// What was not counted, for want of room.
    pub(super) dropped: u64,
}

impl Entry {
    /// In a stack: where `function` was called from.
    pub(super) fn caller_of(&self, function: &str) -> Option<&str> {
        let inside = |frame: &Frame| frame.site.split_once('+').is_some_and(|(name, _)| name == function);
        let at = self.frames.iter().position(inside)?;
        self.frames.get(at + 1).map(|frame| frame.site.as_str())
    }
}

/// Reads a histogram. What is not understood is left out: a kernel may add columns and comments.
pub(super) fn parse(text: &str) -> Histogram {
    let mut histogram = Histogram::default();
    let mut frames: Option<Vec<Frame>> = None;
    for line in text.lines().map(str::trim) {
        if let Some(dropped) = line.strip_prefix("Dropped:") {
            histogram.dropped = dropped.trim().parse().unwrap_or(0);
        }
        let (value, hits) = match line.split_once("} hitcount:") {
            Some((value, hits)) => (value, Some(hits)),
            None => (line, None),
        };
        let value = match value.strip_prefix('{') {
            // Behind the key's name.
            Some(rest) => {
                frames = Some(Vec::new());
                rest.split_once(": ").map_or("", |(_, value)| value)
            }
            None => value,
        };
        let Some(so_far) = &mut frames else { continue };
        so_far.extend(frame(value));
        if let Some(hits) = hits {
            let hits = hits.split_ascii_whitespace().next().and_then(|hits| hits.parse().ok());
            if let (Some(frames), Some(hits)) = (frames.take(), hits) {
                histogram.entries.push(Entry { frames, hits });
            }
        }
    }
    histogram
}

/// `[ffffffff812ab3c1] wp_page_copy+0x1c1/0x6d0` or `kvm_unmap_gfn_range+0x1/0xa0 [kvm]`.
fn frame(text: &str) -> Option<Frame> {
    let text = text.trim();
    let bracketed = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let (address, symbol) = match bracketed {
        Some((address, symbol)) => (u64::from_str_radix(address.trim(), 16).ok(), symbol.trim()),
        None => (None, text),
    };
    let (place, rest) = symbol.split_once('/').unwrap_or((symbol, ""));
    let module = rest.split_once(' ').map_or("", |(_, module)| module.trim());
    place
        .contains("+0x")
        .then(|| Frame { site: if module.is_empty() { place.to_owned() } else { format!("{place} {module}") }, address })
}

#[cfg(test)]
mod tests;
