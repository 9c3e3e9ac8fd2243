//! The one spelling of a manifest: two spaces of indentation, and what is in a list on one line each.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;

/// Writes `value` with a line feed at the end.
pub(super) fn write(value: &impl Serialize) -> String {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Spelling::default());
    // Writing plain structures into memory cannot fail; an empty text would be refused by every reader.
    if value.serialize(&mut serializer).is_err() {
        return String::new();
    }
    bytes.push(b'\n');
    String::from_utf8(bytes).unwrap_or_default()
}

#[derive(Default)]
struct Spelling {
    depth: usize,
    /// Lists around the current place, the outermost of which is spread over lines.
    lists: usize,
    filled: bool,
}

impl Spelling {
    /// Whether elements at this place get lines of their own.
    const fn spread(&self) -> bool {
        self.lists == 0
    }

    fn line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        (0..self.depth).try_for_each(|_| writer.write_all(b"  "))
    }

    fn element<W: ?Sized + io::Write>(
        &self,
        writer: &mut W,
        first: bool,
        spread: bool,
    ) -> io::Result<()> {
        match (first, spread) {
            (true, true) => self.line(writer),
            (true, false) => Ok(()),
            (false, true) => {
                writer.write_all(b",")?;
                self.line(writer)
            }
            (false, false) => writer.write_all(b", "),
        }
    }

    fn close<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        spread: bool,
        bracket: &[u8],
    ) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if spread && self.filled {
            self.line(writer)?;
        }
        self.filled = true;
        writer.write_all(bracket)
    }
}

impl Formatter for Spelling {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.lists += 1;
        self.filled = false;
        writer.write_all(b"[")
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.element(writer, first, self.lists == 1)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let spread = self.lists == 1;
        self.lists = self.lists.saturating_sub(1);
        self.close(writer, spread, b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth += 1;
        self.filled = false;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.element(writer, first, self.spread())
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, _: &mut W) -> io::Result<()> {
        self.filled = true;
        Ok(())
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let spread = self.spread();
        self.close(writer, spread, b"}")
    }
}
