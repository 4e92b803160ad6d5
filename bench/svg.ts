/**
 * A bar chart as SVG. It has its own colours for dark pages.
 *
 * @module
 */

/** One bar. */
export interface Bar {
  /** Whose it is: the index of its colour, and of its name in the legend. */
  series: number;
  /** How long it is. */
  value: number;
  /** What stands behind it. */
  label: string;
}

/** Bars that stand together. */
export interface Group {
  /** What stands before them. */
  title: string;
  /** The bars, from above. */
  bars: Bar[];
}

/** Groups that share a scale. */
export interface Panel {
  /** What stands above them. */
  title: string;
  /** The groups, from above. */
  groups: Group[];
}

const WIDTH = 960;
const LEFT = 70;
const RIGHT = 170; // room for the labels of the longest bars
const BAR = 12;
const GAP = 10;
const COLUMNS = 2;

const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .title { font-weight: 600; font-size: 13px }
  .value { font-size: 10px; fill: #59636e }
  .s0 { fill: #1a7f37 } .s1 { fill: #8c959f } .s2 { fill: #bcc3ca } .s3 { fill: #dde9f7 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc } .value { fill: #9198a1 }
    .s0 { fill: #3fb950 } .s1 { fill: #848d97 } .s2 { fill: #59616b } .s3 { fill: #1d3250 }
  }`;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${x}" y="${y}"${attributes && ` ${attributes}`}>${escape(content)}</text>`;
}

function panelHeight({ groups }: Panel): number {
  return 34 + groups.reduce((sum, { bars }) => sum + bars.length * BAR + GAP, 0);
}

/** Draws one panel; its longest bar takes the whole width. */
function drawPanel(panel: Panel, x: number, y: number, width: number): string[] {
  const most = Math.max(...panel.groups.flatMap(({ bars }) => bars.map(({ value }) => value)));
  const room = width - LEFT - RIGHT;
  const out = [text(x, y + 14, panel.title, 'class="title"')];
  let at = y + 26;
  for (const { title, bars } of panel.groups) {
    out.push(text(x + LEFT - 8, at + (bars.length * BAR) / 2 + 4, title, 'text-anchor="end"'));
    for (const { series, value, label } of bars) {
      const length = Math.max(1, Math.round(value / most * room));
      out.push(`<rect class="s${series}" x="${x + LEFT}" y="${at}" width="${length}" height="${BAR - 2}" rx="1"/>`);
      out.push(text(x + LEFT + length + 5, at + 9, label, 'class="value"'));
      at += BAR;
    }
    at += GAP;
  }
  return out;
}

/** Draws panels side by side and below one another. */
export function drawChart(title: string, series: readonly string[], panels: readonly Panel[]): string {
  const width = WIDTH / COLUMNS;
  const body: string[] = [text(10, 24, title, 'class="title"')];
  let x = 10;
  for (const [index, name] of series.entries()) {
    body.push(`<rect class="s${index}" x="${x}" y="38" width="12" height="12" rx="1"/>`, text(x + 18, 48, name));
    x += 34 + name.length * 7;
  }
  let y = 70;
  for (let i = 0; i < panels.length; i += COLUMNS) {
    const row = panels.slice(i, i + COLUMNS);
    for (const [column, panel] of row.entries()) body.push(...drawPanel(panel, 10 + column * width, y, width - 10));
    y += Math.max(...row.map(panelHeight)) + 12;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" role="img" aria-label="${escape(title)}">
<style>${STYLE}
</style>
${body.join("\n")}
</svg>
`;
}
