//! Aligned columns for people.

use std::fmt::Write;

/// Rows of cells; every column but the last is padded to its widest cell.
#[derive(Debug, Default)]
pub(crate) struct Table {
    indent: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table whose rows begin with `indent` spaces.
    pub(crate) fn indented(indent: usize) -> Self {
        Self {
            indent,
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.rows
            .push(cells.iter().map(|cell| (*cell).to_owned()).collect());
    }

    /// The text, with a line feed after each row and no trailing spaces.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(self.indent);
            for (column, cell) in row.iter().enumerate() {
                let width = match column + 1 == row.len() {
                    true => 0,
                    false => self.width(column) + 2,
                };
                let padding = width.saturating_sub(cell.chars().count());
                let _infallible = write!(line, "{cell}{}", " ".repeat(padding));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    fn width(&self, column: usize) -> usize {
        let widths = self.rows.iter().filter_map(|row| row.get(column));
        widths.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pads_all_columns_but_the_last() {
        let mut table = Table::indented(2);
        table.row(["a", "b", "c"]);
        table.row(["long", "", "d"]);
        assert_eq!(table.text(), "  a     b  c\n  long     d\n");
    }
}
