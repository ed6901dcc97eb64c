/** A piece of a line's body. Marks stand for characters that a screen would hide or obey. */
export interface Piece {
  kind: 'text' | 'control' | 'match';
  text: string;
}

// C0 but tab and newline, DEL, C1, zero-width and bidirectional controls, the
// byte order mark, line separators: all that can hide or reorder what a line says.
// oxlint-disable-next-line no-control-regex -- finding these is the point
const hidden = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/g;

/** How one hidden character is written out: as programming languages do, since fonts lack the control pictures. */
export function nameControl(char: string): string {
  if (char === '\r') return String.raw`\r`;
  const code = char.charCodeAt(0).toString(16);
  return code.length > 2 ? String.raw`\u${code.padStart(4, '0')}` : String.raw`\x${code.padStart(2, '0')}`;
}

/** A search text as a pattern for `visible`; undefined for none. */
export function searchPattern(needle: string): RegExp | undefined {
  const trimmed = needle.trim();
  return trimmed ? new RegExp(trimmed.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`), 'gi') : undefined;
}

/** Splits a body into plain text, spelled-out controls and what the search found. */
export function visible(body: string, search?: RegExp): Piece[] {
  const pieces: Piece[] = [];
  let at = 0;
  for (const m of body.matchAll(hidden)) {
    plain(body.slice(at, m.index), search, pieces);
    const last = pieces.at(-1);
    if (last?.kind === 'control' && m.index === at) last.text += nameControl(m[0]);
    else pieces.push({ kind: 'control', text: nameControl(m[0]) });
    at = m.index + m[0].length;
  }
  plain(body.slice(at), search, pieces);
  return pieces;
}

function plain(text: string, search: RegExp | undefined, pieces: Piece[]): void {
  let at = 0;
  if (search) {
    for (const m of text.matchAll(search)) {
      if (m.index > at) pieces.push({ kind: 'text', text: text.slice(at, m.index) });
      pieces.push({ kind: 'match', text: m[0] });
      at = m.index + m[0].length;
    }
  }
  if (at < text.length) pieces.push({ kind: 'text', text: text.slice(at) });
}
