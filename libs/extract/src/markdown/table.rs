//! Tables: a grid with spans expanded, as Markdown or as values. Tables that are there for layout are not tables.
//! Promises at most [`MAX_COLUMNS`] columns and [`MAX_CELLS`] cells, whatever the spans say.

use dom_query::local_name;

use super::{Exit, Gap, Renderer, Step, Style, View};
use crate::tag::Tag;
use crate::tree::{Index, Tree};
use crate::{Options, Table};

/// Widest table.
const MAX_COLUMNS: usize = 128;
/// Largest table.
const MAX_CELLS: usize = 50_000;
/// A cell without headings around it that is longer than this is layout.
const LONG_CELL: usize = 1_000;

/// A cell in its place; `first` is false where a span repeats it.
#[derive(Debug, Clone, Copy)]
struct Cell {
    at: Index,
    first: bool,
    beside: bool,
}

struct Grid {
    header: Option<Vec<Option<Cell>>>,
    rows: Vec<Vec<Option<Cell>>>,
    columns: usize,
}

impl Renderer<'_> {
    pub(super) fn table(&mut self, at: Index) -> Step {
        if self.writer.style == Style::Cell {
            self.writer.gap(Gap::Line);
            return Step::Into(Exit::Gap(Gap::Line));
        }
        if let Some(code) = numbered_code(self.view.tree, at) {
            return self.pre(code);
        }
        if !is_data(&self.view, at) {
            self.writer.gap(Gap::Paragraph);
            return Step::Into(Exit::Gap(Gap::Paragraph));
        }
        let grid = grid(&self.view, at);
        if let Some(caption) = caption(self.view.tree, at) {
            self.writer.gap(Gap::Paragraph);
            self.writer.text(&caption);
        }
        self.writer.gap(Gap::Paragraph);
        let style = if self.writer.style == Style::Plain { Style::Plain } else { Style::Cell };
        let text = |cell: &Option<Cell>| match cell {
            Some(cell) if !cell.beside => cell_text(self.view, cell.at, style),
            _ => String::new(),
        };
        let rows: Vec<Vec<String>> = grid.rows.iter().map(|row| row.iter().map(text).collect()).collect();
        let header: Option<Vec<String>> = grid.header.as_ref().map(|row| row.iter().map(text).collect());
        let used: Vec<bool> = (0..grid.columns)
            .map(|column| {
                rows.iter().chain(&header).any(|row| row.get(column).is_some_and(|cell| !cell.is_empty()))
            })
            .collect();
        let lines = if style == Style::Plain {
            header
                .iter()
                .chain(&rows)
                .map(|row| pick(row, &used).collect::<Vec<_>>().join("\t").trim_end().to_owned())
                .filter(|line| !line.is_empty())
                .collect()
        } else {
            markdown_rows(header, rows, &used, &alignments(&self.view, &grid))
        };
        if !lines.is_empty() {
            self.writer.lines(&lines.join("\n"));
            self.writer.gap(Gap::Paragraph);
        }
        Step::Over
    }
}

/// The code in a table that is there to put numbers beside its lines.
fn numbered_code(tree: &Tree<'_>, at: Index) -> Option<Index> {
    let mut blocks = tree.all(at, Tag::Pre);
    let (numbers, code) = (blocks.next()?, blocks.next()?);
    let gutter = |up: Index| ["gutter", "linenos", "lineno"].iter().any(|name| tree.class(up).contains(name));
    let only = blocks.next().is_none()
        && std::iter::once(numbers).chain(tree.ancestors(numbers)).take_while(|up| *up > at).any(gutter);
    only.then_some(code)
}

/// The tables of data in a page, as values.
pub(crate) fn tables(view: View<'_>, root: Index, options: &Options) -> Vec<Table> {
    let mut tables = Vec::new();
    for at in view.below(root).filter(|at| view.tree.tag(*at) == Tag::Table) {
        if tables.len() >= options.max_tables {
            break;
        }
        if numbered_code(view.tree, at).is_some() || !is_data(&view, at) {
            continue;
        }
        let grid = grid(&view, at);
        let text = |cell: &Option<Cell>| cell.map(|cell| view.tree.line(cell.at)).unwrap_or_default();
        let row = |row: &Vec<Option<Cell>>| row.iter().map(text).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> =
            grid.rows.iter().map(row).filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
        if !rows.is_empty() {
            let headers = grid.header.as_ref().filter(|header| is_header(view.tree, header)).map(row);
            let rows =
                if headers.is_none() { grid.header.iter().map(row).chain(rows).collect() } else { rows };
            tables.push(Table {
                caption: caption(view.tree, at),
                headers: headers.unwrap_or_default(),
                rows,
            });
        }
    }
    tables
}

fn is_header(tree: &Tree<'_>, row: &[Option<Cell>]) -> bool {
    let in_head = |at: Index| tree.ancestors(at).take(2).any(|up| tree.tag(up) == Tag::Thead);
    row.iter().flatten().all(|cell| tree.tag(cell.at) == Tag::Th || in_head(cell.at))
}

fn caption(tree: &Tree<'_>, at: Index) -> Option<String> {
    let caption = tree.children(at).find(|child| tree.tag(*child) == Tag::Caption)?;
    Some(tree.line(caption)).filter(|line| !line.is_empty())
}

/// Whether a table holds data. Those for layout say so, hold tables or headings, or have one row or column.
fn is_data(view: &View<'_>, at: Index) -> bool {
    let tree = view.tree;
    if tree.attr_named(at, "role").is_some_and(|role| matches!(role, "presentation" | "none")) {
        return false;
    }
    let (mut widest, mut headed, mut count) = (0, false, 0);
    for row in rows(view, at) {
        count += 1;
        widest = widest.max(cells(view, row).map(|cell| span(tree, cell).0).sum::<usize>());
        headed |= cells(view, row).any(|cell| tree.tag(cell) == Tag::Th);
    }
    if widest < 2 || (count < 2 && !headed) {
        return false;
    }
    let mut length = 0;
    for below in view.below(at) {
        match tree.tag(below) {
            Tag::Table | Tag::H1 | Tag::H2 | Tag::H3 | Tag::Form | Tag::Article | Tag::Main => {
                return headed && tree.tag(below) != Tag::Form && widest > 2;
            }
            Tag::Td => length = 0,
            Tag::Text => length += tree.text(below).len(),
            _ => {}
        }
        if length > LONG_CELL && !headed {
            return false;
        }
    }
    true
}

fn rows<'v>(view: &'v View<'_>, at: Index) -> impl Iterator<Item = Index> + 'v {
    let tree = view.tree;
    let shown = |at: &Index| !view.skipped(*at);
    let rows = tree.children(at).filter(shown).flat_map(move |child| {
        let inside: Box<dyn Iterator<Item = Index>> = match tree.tag(child) {
            Tag::Tr => Box::new(std::iter::once(child)),
            Tag::Thead | Tag::Tbody | Tag::Tfoot => Box::new(tree.children(child)),
            _ => Box::new(std::iter::empty()),
        };
        inside
    });
    rows.filter(move |row| tree.tag(*row) == Tag::Tr && !view.skipped(*row))
}

fn cells<'v>(view: &'v View<'_>, row: Index) -> impl Iterator<Item = Index> + 'v {
    view.tree
        .children(row)
        .filter(|cell| matches!(view.tree.tag(*cell), Tag::Td | Tag::Th) && !view.skipped(*cell))
}

/// Columns and rows that a cell covers.
fn span(tree: &Tree<'_>, cell: Index) -> (usize, usize) {
    let number =
        |name| tree.attr(cell, name).and_then(|value| value.trim().parse::<usize>().ok()).unwrap_or(1);
    (number(local_name!("colspan")).clamp(1, MAX_COLUMNS), number(local_name!("rowspan")).clamp(1, 1_000))
}

fn grid(view: &View<'_>, at: Index) -> Grid {
    let tree = view.tree;
    let mut grid: Vec<Vec<Option<Cell>>> = Vec::new();
    let mut carried: Vec<(usize, Option<Cell>)> = Vec::new();
    let (mut columns, mut total, mut row_headers) = (0, 0, false);
    for row in rows(view, at) {
        let mut line: Vec<Option<Cell>> = Vec::new();
        for (number, cell) in cells(view, row).enumerate() {
            carry(&mut line, &mut carried, false);
            let (wide, high) = span(tree, cell);
            row_headers |= number == 0 && !grid.is_empty() && tree.tag(cell) == Tag::Th;
            for beside in 0..wide.min(MAX_COLUMNS.saturating_sub(line.len())) {
                let placed = Cell { at: cell, first: beside == 0, beside: beside > 0 };
                if carried.len() <= line.len() {
                    carried.resize(line.len() + 1, (0, None));
                }
                carried[line.len()] = (high - 1, Some(Cell { first: false, ..placed }));
                line.push(Some(placed));
            }
        }
        carry(&mut line, &mut carried, true);
        total += line.len();
        columns = columns.max(line.len());
        grid.push(line);
        if total > MAX_CELLS {
            break;
        }
    }
    let headed = grid.first().is_some_and(|first| is_header(tree, first));
    let header = (headed || (!row_headers && grid.len() > 1)).then(|| grid.remove(0));
    Grid { header, rows: grid, columns }
}

/// Fills the places that cells above reach into: up to the next free one, or to the end of the row.
fn carry(line: &mut Vec<Option<Cell>>, carried: &mut [(usize, Option<Cell>)], to_end: bool) {
    while let Some((left, cell)) = carried.get_mut(line.len()) {
        if *left > 0 {
            *left -= 1;
            line.push(*cell);
        } else if to_end && line.len() + 1 < carried_width(carried, line.len()) {
            line.push(None);
        } else {
            break;
        }
    }
}

/// Width that the cells from above reach, from a column on.
fn carried_width(carried: &[(usize, Option<Cell>)], from: usize) -> usize {
    carried
        .iter()
        .enumerate()
        .skip(from)
        .filter(|(_, (left, _))| *left > 0)
        .map(|(at, _)| at + 1)
        .max()
        .unwrap_or(0)
}

fn cell_text(view: View<'_>, at: Index, style: Style) -> String {
    let mut renderer = Renderer::new(view, style);
    renderer.walk(at + 1, view.tree.end(at));
    let text = renderer.writer.finish();
    match style {
        Style::Plain => text.split_whitespace().collect::<Vec<_>>().join(" "),
        _ => text.replace('|', "\\|").replace('\n', " "),
    }
}

fn pick<'r>(row: &'r [String], used: &'r [bool]) -> impl Iterator<Item = &'r str> {
    used.iter().enumerate().filter(|(_, used)| **used).map(|(at, _)| row.get(at).map_or("", String::as_str))
}

fn markdown_rows(
    header: Option<Vec<String>>,
    rows: Vec<Vec<String>>,
    used: &[bool],
    alignments: &[&str],
) -> Vec<String> {
    let rows: Vec<Vec<String>> =
        rows.into_iter().filter(|row| row.iter().any(|cell| !cell.is_empty())).collect();
    if rows.is_empty() && header.as_ref().is_none_or(|header| header.iter().all(String::is_empty)) {
        return Vec::new();
    }
    let line = |row: &[String]| {
        let mut line = String::from("|");
        for cell in pick(row, used) {
            line.push(' ');
            line.push_str(cell);
            line.push_str(if cell.is_empty() { "|" } else { " |" });
        }
        line
    };
    let rule: Vec<&str> =
        used.iter().zip(alignments).filter(|(used, _)| **used).map(|(_, rule)| *rule).collect();
    let mut lines = vec![line(&header.unwrap_or_default()), format!("| {} |", rule.join(" | "))];
    lines.extend(rows.iter().map(|row| line(row)));
    lines
}

/// The rule below the header: the alignment of each column, as its first cell declares it.
fn alignments(view: &View<'_>, grid: &Grid) -> Vec<&'static str> {
    let tree = view.tree;
    let declared = |cell: &Cell| {
        let style = tree
            .attr(cell.at, local_name!("style"))
            .unwrap_or_default()
            .replace(' ', "")
            .to_ascii_lowercase();
        let align = tree.attr(cell.at, local_name!("align")).unwrap_or_default().to_ascii_lowercase();
        let is = |side: &str| align == side || style.contains(&format!("text-align:{side}"));
        [("left", ":---"), ("center", ":---:"), ("right", "---:")]
            .into_iter()
            .find(|(side, _)| is(side))
            .map(|(_, rule)| rule)
    };
    let column = |column: usize| {
        let mut cells = grid
            .header
            .iter()
            .chain(grid.rows.iter().take(2))
            .filter_map(|row| row.get(column).copied().flatten());
        cells.find_map(|cell| declared(&cell).filter(|_| cell.first)).unwrap_or("---")
    };
    (0..grid.columns).map(column).collect()
}
