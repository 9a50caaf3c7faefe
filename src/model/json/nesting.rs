use super::masks::Brackets;

/// The number of open brackets in a value, of either kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nesting {
    depth: u64,
}

impl Default for Nesting {
    /// After the bracket that begins the value.
    fn default() -> Self {
        Self { depth: 1 }
    }
}

impl Nesting {
    /// Processes brackets in order, up to the one that ends the value, and
    /// returns its bit.
    ///
    /// The value can't end before the depth-th closing bracket from here. If any
    /// brackets open before that one, their number is the depth after it, and
    /// the search starts again from there.
    #[inline(always)]
    pub(super) fn pass(
        &mut self,
        mut brackets: Brackets,
        count: impl Fn(u64) -> u64,
    ) -> Option<u32> {
        loop {
            let closing = count(brackets.closing);
            if closing < self.depth {
                self.depth += count(brackets.opening);
                self.depth -= closing;
                return None;
            }
            for _ in 1..self.depth {
                brackets.closing &= brackets.closing.wrapping_sub(1);
            }
            if brackets.closing == 0 {
                return None;
            }
            let last = brackets.closing.trailing_zeros();
            let behind = u64::MAX << last << 1;
            self.depth = count(brackets.opening & !behind);
            if self.depth == 0 {
                return Some(last);
            }
            brackets.opening &= behind;
            brackets.closing &= behind;
        }
    }
}
