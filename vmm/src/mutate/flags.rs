//! Who reads the flags that an instruction leaves.

use super::{code, flow::Flow};
use iced_x86::{FlowControl, RflagsBits};

const ARITHMETIC: u32 = RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;

/// The flags that somebody reads after instruction `index` and before they are set anew.
///
/// None if that cannot be said: control leaves the function by a jump, to somebody who might read them.
pub(super) fn read_after(flow: &Flow, index: usize) -> Option<u32> {
    let mut read = RflagsBits::NONE;
    // What is still as the instruction left it, at each place that has been looked at.
    let mut seen = vec![RflagsBits::NONE; flow.instructions().len()];
    let mut work: Vec<(usize, u32)> = flow.successors(index).into_iter().map(|next| (next, ARITHMETIC)).collect();
    while let Some((index, live)) = work.pop() {
        if seen[index] & live == live {
            continue;
        }
        seen[index] |= live;
        let instruction = &flow.instructions()[index];
        read |= instruction.rflags_read() & live;
        let live = live & !instruction.rflags_modified();
        match instruction.flow_control() {
            // Neither a function nor its caller may rely on flags.
            FlowControl::Call | FlowControl::IndirectCall | FlowControl::Return => continue,
            FlowControl::ConditionalBranch if live != 0 && flow.successors(index).len() < 2 => return None,
            FlowControl::UnconditionalBranch if live != 0 => {
                // The return thunk, or another function's beginning.
                let inside = code::target(instruction).is_some_and(|target| flow.contains(target));
                if !inside {
                    continue;
                }
            }
            _ => {}
        }
        if live != 0 {
            work.extend(flow.successors(index).into_iter().map(|next| (next, live)));
        }
    }
    Some(read)
}
