//! How deep a text may nest. Everything that follows the parser walks the tree by recursion, and dropping it recurses as well.

use super::{
    Diagnostic, Diagnostics,
    token::{Placed, Token},
};

/// The deepest tree. Every bracket, and every operator of one expression, may make it deeper.
const LIMIT: usize = 400;
/// The deepest brackets, which cost more than operators.
const BRACKETS: usize = 100;

/// Finds the place from which a text is nested too deep.
pub(crate) fn check(tokens: &[Placed<'_>], text: u16) -> Result<(), Diagnostics> {
    // For each open bracket, how deep the operators since the last statement end or comma may nest.
    let mut outer: Vec<usize> = Vec::new();
    let (mut here, mut total) = (0, 0);
    for placed in tokens {
        match placed.token {
            Token::LBrace | Token::LParen | Token::LBracket => {
                outer.push(std::mem::take(&mut here));
                total += 1;
            }
            Token::RBrace | Token::RParen | Token::RBracket => {
                total -= here;
                if let Some(before) = outer.pop() {
                    total -= 1;
                    here = before;
                } else {
                    here = 0;
                }
                // `a[1][2][3]`, `if a {} else if b {} else …`
                here += 1;
                total += 1;
            }
            Token::Sep | Token::Comma => {
                total -= here;
                here = 0;
            }
            Token::Name(_) | Token::Number(_) | Token::Text(_) => {}
            _ => {
                here += 1;
                total += 1;
            }
        }
        if total > LIMIT || outer.len() > BRACKETS {
            return Err(Diagnostic::error("nested too deep")
                .at(placed.span(text), "from here on")
                .note(format!("the limits are {BRACKETS} brackets and {LIMIT} operators inside each other"))
                .help("make a `const`, a `let` or an `op` of a part")
                .into());
        }
    }
    Ok(())
}
