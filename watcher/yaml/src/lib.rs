//! The events of a text of YAML. What they mean is not for here: the tree of them is made in `config/node.rs` of the daemon.
//!
//! A crate of its own for one reason. The parser is generic over what it reads from, and such code is built in the crate that
//! names the type, with the `opt-level` of that crate. The daemon is built to be small; this is built to be fast, because it
//! reads ten thousand rules.

use granit_parser::{Parser, StrInput, options};

pub use granit_parser::{ErrorKind, Event, Marker, ScalarStyle, ScanError, Span};

/// The events of one text, each with its place; after a mistake there are no more.
pub struct Events<'t>(Parser<'t, StrInput<'t>>);

impl<'t> Events<'t> {
    /// Those of a text in which nothing is nested deeper than this.
    pub fn of(text: &'t str, deepest: usize) -> Events<'t> {
        let options = options! {
            flow_nesting_limit: deepest,
            block_nesting_limit: deepest,
        };
        Events(Parser::new_from_str_with_options(text, options))
    }
}

impl<'t> Iterator for Events<'t> {
    type Item = Result<(Event<'t>, Span), ScanError>;

    // Whoever inlined this would have the parser built on his own terms after all.
    #[inline(never)]
    fn next(&mut self) -> Option<Self::Item> {
        self.0.next_event()
    }
}
