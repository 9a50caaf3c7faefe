//! The scan: splits chunks into blocks, and skips those inside of nested values.

use super::{
    block::{BLOCK, Block, Brackets, Marks},
    document::Document,
    kernel::questions::{Questions, Work},
    strings::Strings,
};
use crate::model::found::Refusal;

/// The progress of reading a document.
#[derive(Clone, Debug)]
pub(super) struct Scan {
    /// The number of bytes read.
    pub(super) offset: u64,
    strings: Strings,
    pub(super) document: Document,
}

impl Scan {
    pub(super) fn new(document: Document) -> Self {
        Self {
            offset: 0,
            strings: Strings::default(),
            document,
        }
    }
}

/// A chunk that a scan is to read.
pub(super) struct Feed<'a> {
    pub(super) scan: &'a mut Scan,
    pub(super) chunk: &'a [u8],
}

impl Work for Feed<'_> {
    type Done = Result<(), Refusal>;

    #[expect(
        clippy::too_many_lines,
        reason = "one loop, whose state stays in registers"
    )]
    #[inline(always)]
    fn on(self, kernel: impl Questions) -> Result<(), Refusal> {
        let Self { scan, chunk } = self;
        let mut padded = [b' '; BLOCK];
        let mut strings = scan.strings;
        let mut rest = chunk;
        while !rest.is_empty() {
            let (mut block, mut bytes) = match rest.split_first_chunk() {
                Some((block, after)) => {
                    rest = after;
                    (block, block.as_slice())
                }
                None => {
                    let bytes = rest;
                    if let Some(front) = padded.get_mut(..rest.len()) {
                        front.copy_from_slice(rest);
                    }
                    rest = &[];
                    (&padded, bytes)
                }
            };
            let mut masks = classify(
                &kernel,
                &mut strings,
                kernel.marks(block),
                block,
                bytes.len(),
            );
            if scan.document.is_nested() {
                let mut nesting = scan.document.nesting;
                let mut old = nesting;
                loop {
                    if masks.stray != 0 || nesting.pass(masks.brackets).is_some() {
                        break;
                    }
                    old = nesting;
                    if masks.quiet == 0 {
                        while let Some((next, after)) = rest.split_first_chunk()
                            && kernel.plain(next)
                        {
                            rest = after;
                        }
                    }
                    let Some((next, after)) = rest.split_first_chunk() else {
                        bytes = &[];
                        break;
                    };
                    rest = after;
                    (block, bytes) = (next, next);
                    masks = classify(&kernel, &mut strings, kernel.marks(block), block, BLOCK);
                }
                scan.document.nesting = old;
            }
            let before = chunk.len() - rest.len() - bytes.len();
            let block = Block {
                bytes,
                offset: scan.offset + before as u64,
                quotes: masks.quotes,
                brackets: masks.brackets,
                stray: masks.stray,
                unusual: kernel.unusual(block) | masks.backslashes,
            };
            scan.document.read(&block)?;
        }
        scan.strings = strings;
        scan.offset += chunk.len() as u64;
        Ok(())
    }
}

/// What the bytes of a block are.
pub(super) struct Masks {
    /// The quotes that begin or end a string.
    pub(super) quotes: u64,
    /// The brackets outside of strings.
    pub(super) brackets: Brackets,
    /// The backslashes outside of strings.
    pub(super) stray: u64,
    /// 0 if the block is part of a string, and nothing in it is escaped.
    pub(super) quiet: u64,
    backslashes: u64,
}

#[inline(always)]
pub(super) fn classify(
    kernel: &impl Questions,
    strings: &mut Strings,
    marks: Marks,
    block: &[u8; BLOCK],
    len: usize,
) -> Masks {
    let (quotes, inside) = strings.pass(marks, len, |bits| kernel.prefix_xor(bits));
    Masks {
        quotes,
        brackets: kernel.brackets(block).within(!inside),
        stray: marks.backslashes & !inside,
        quiet: !inside | marks.quotes | marks.backslashes,
        backslashes: marks.backslashes,
    }
}
