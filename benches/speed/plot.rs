//! The table as a picture: each row as a bar, in parts of its goal, readable on light and on dark.

use std::fmt::Write as _;

use crate::table::Line;

const ROW: usize = 34;
const LEFT: usize = 20;
/// Where a bar ends that is as long as its goal allows.
const GOAL: f64 = 520.0;
/// Bars end here however bad it is.
const END: f64 = 700.0;
const STYLE: &str = "text { font: 13px system-ui, sans-serif; fill: #1f2328 } .less { fill: #59636e } .goal { stroke: #59636e; \
    stroke-dasharray: 4 3 } .met { fill: #2da44e } .missed { fill: #cf222e } @media (prefers-color-scheme: dark) { text { fill: \
    #e6edf3 } .less { fill: #9198a1 } .goal { stroke: #9198a1 } .met { fill: #3fb950 } .missed { fill: #f85149 } }";

/// Draws the rows that have a goal.
pub(crate) fn draw(lines: &[Line]) -> String {
    let rows: Vec<(&Line, f64)> = lines.iter().filter_map(|line| Some((line, line.share?))).collect();
    let height = 40 + rows.len() * ROW;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" role=\"img\" aria-label=\"Each measure as a part of its \
         goal\">\n<style>{STYLE}</style>\n<text class=\"less\" x=\"{}\" y=\"16\" text-anchor=\"end\">the goal</text>\n\
         <line class=\"goal\" x1=\"{GOAL}\" x2=\"{GOAL}\" y1=\"22\" y2=\"{height}\"/>\n",
        GOAL + 24.0
    );
    for (at, (line, share)) in rows.into_iter().enumerate() {
        let (top, class) = (30 + at * ROW, if share <= 1.0 { "met" } else { "missed" });
        let length = (share * (GOAL - 20.0)).clamp(2.0, END - 20.0);
        let what = escaped(&line.what);
        writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"{}\">{what}</text>\n<rect class=\"{class}\" x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" height=\"8\" \
             rx=\"2\"/>\n<text class=\"less\" x=\"{:.1}\" y=\"{}\">{:.0} %</text>",
            top + 10,
            top + 16,
            length + 26.0,
            top + 24,
            share * 100.0
        )
        .unwrap();
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "")
}
