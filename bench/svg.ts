/**
 * Draws bar charts as SVG, with colours for light and for dark pages.
 *
 * @module
 */

/** A bar. */
export interface Bar {
  /** The index of the series: it selects the colour, and the name in the legend. */
  series: number;
  /** The length, in the unit of the panel. */
  value: number;
  /** The text after the bar. */
  label: string;
}

/** Bars that belong together. */
export interface Group {
  /** The text before the bars. */
  title: string;
  /** The bars, from the top. */
  bars: Bar[];
}

/** Groups that share a scale. */
export interface Panel {
  /** The text above the groups. */
  title: string;
  /** The groups, from the top. */
  groups: Group[];
}

const WIDTH = 960;
const COLUMNS = 2;
const MARGIN = 20;
const TITLES_WIDTH = 54; // of the groups
const LABELS_WIDTH = 130; // of the longest bar's label
const BAR_HEIGHT = 14;
const GROUP_GAP = 10;
const PANEL_TITLE_HEIGHT = 28;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .page { fill: #ffffff }
  .heading { font-weight: 600; font-size: 17px }
  .title { font-weight: 600; font-size: 13px }
  .value { font-size: 11px; fill: #59636e }
  .first { font-weight: 600; fill: #1a7f37 }
  .s0 { fill: #1a7f37 } .s1 { fill: #6e7781 } .s2 { fill: #9aa4ae } .s3 { fill: #c4cbd2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .page { fill: #0d1117 } .value { fill: #9198a1 } .first { fill: #3fb950 }
    .s0 { fill: #3fb950 } .s1 { fill: #9198a1 } .s2 { fill: #6e7681 } .s3 { fill: #484f58 }
  }`;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(
    ">",
    "&gt;",
  );
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x}" y="${y}"${attributes && ` ${attributes}`}>${escape(content)}</text>`;
}

function panelHeight({ groups }: Panel): number {
  return PANEL_TITLE_HEIGHT + groups.reduce((sum, { bars }) => sum + bars.length * BAR_HEIGHT + GROUP_GAP, 0);
}

/** Draws a panel, whose longest bar takes the whole width. */
function drawPanel(panel: Panel, x: number, y: number, width: number): string[] {
  const longest = Math.max(...panel.groups.flatMap(({ bars }) => bars.map(({ value }) => value)));
  const left = x + TITLES_WIDTH;
  const out = [text(x, y + 14, panel.title, 'class="title"')];
  let top = y + PANEL_TITLE_HEIGHT;
  for (const { title, bars } of panel.groups) {
    out.push(text(left - 8, top + (bars.length * BAR_HEIGHT) / 2 + 4, title, 'text-anchor="end"'));
    for (const { series, value, label } of bars) {
      const length = Math.max(1, Math.round(value / longest * (width - TITLES_WIDTH - LABELS_WIDTH)));
      out.push(`<rect class="s${series}" x="${left}" y="${top}" width="${length}" height="${BAR_HEIGHT - 2}" rx="1"/>`);
      out.push(text(left + length + 5, top + 10, label, `class="value${series === 0 ? " first" : ""}"`));
      top += BAR_HEIGHT;
    }
    top += GROUP_GAP;
  }
  return out;
}

/** Draws panels in two columns, below a heading, a note and a legend. The first series stands out. */
export function drawChart(heading: string, note: string, series: readonly string[], panels: readonly Panel[]): string {
  const columnWidth = (WIDTH - (COLUMNS + 1) * MARGIN) / COLUMNS;
  const body: string[] = [text(MARGIN, 34, heading, 'class="heading"'), text(MARGIN, 54, note)];
  let x = MARGIN;
  for (const [index, name] of series.entries()) {
    body.push(`<rect class="s${index}" x="${x}" y="70" width="12" height="12" rx="1"/>`, text(x + 18, 80, name));
    x += 40 + name.length * 7;
  }
  let y = 106;
  for (let i = 0; i < panels.length; i += COLUMNS) {
    const row = panels.slice(i, i + COLUMNS);
    for (const [column, panel] of row.entries()) {
      body.push(...drawPanel(panel, MARGIN + column * (columnWidth + MARGIN), y, columnWidth));
    }
    y += Math.max(...row.map(panelHeight)) + 12;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="${
    escape(heading)
  }">
<style>${STYLE}
</style>
<rect class="page" width="${WIDTH}" height="${y}" rx="6"/>
${body.join("\n")}
</svg>
`;
}
