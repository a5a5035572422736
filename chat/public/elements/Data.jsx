import { Button } from '@/components/ui/button';
import { Card } from '@/components/ui/card';
import { useId, useState } from 'react';

// Files of a run that hold rows of data: as a table, and as a plot. Read only when somebody wants to see them.
const ROOT = '/chat';
const WIDE = 640;
const HIGH = 260;
const LEFT = 64;
const LOW = 56;
const MOST_BARS = 40;

const address = (kind, file) =>
  `${ROOT}/${kind}/${encodeURIComponent(props.run_id)}/${file.commit}/${file.path.split('/').map(encodeURIComponent).join('/')}`;
const short = (value) =>
  value === null || value === undefined ? '' : typeof value === 'number' ? value.toLocaleString('en-US', { maximumSignificantDigits: 6 }) : value;
const clip = (text) => (text.length > 14 ? `${text.slice(0, 13)}…` : text);

// A first column of numbers that rise from row to row is where the points stand; else each row is a bar with its first text below.
function shape(table) {
  const rises = (at) => table.rows.length > 2 && table.rows.every((row, n) => row[at] !== null && (!n || row[at] > table.rows[n - 1][at]));
  const x = table.numbers.length > 1 && table.numbers[0] === 0 && rises(0) ? 0 : undefined;
  const text = table.columns.findIndex((_, at) => !table.numbers.includes(at));
  return { x, text, values: table.numbers.filter((at) => at !== x) };
}

function Plot({ table, at, looks }) {
  const rows = looks.x === undefined ? table.rows.slice(0, MOST_BARS) : table.rows;
  const values = rows.map((row) => row[at]);
  const known = values.filter((value) => value !== null);
  const least = Math.min(0, ...known);
  const most = Math.max(0, ...known) || (least < 0 ? 0 : 1);
  const y = (value) => 12 + ((most - value) / (most - least || 1)) * (HIGH - LOW - 12);
  const room = WIDE - LEFT - 12;
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => least + part * (most - least));
  const title = `${table.columns[at]}${looks.x === undefined ? '' : ` by ${table.columns[looks.x]}`}`;
  const xs = looks.x === undefined ? [] : rows.map((row) => row[looks.x]);
  const x = (value) => LEFT + ((value - xs[0]) / (xs[xs.length - 1] - xs[0] || 1)) * room;
  const step = room / Math.max(1, rows.length);
  const named = Math.ceil(rows.length / 10);
  return (
    <svg viewBox={`0 0 ${WIDE} ${HIGH}`} role="img" aria-label={`${title}: from ${short(Math.min(...known))} to ${short(Math.max(...known))}; all values are in the table below`} className="factory-plot">
      {ticks.map((tick) => (
        <g key={tick}>
          <line x1={LEFT} x2={WIDE - 12} y1={y(tick)} y2={y(tick)} className="factory-grid" />
          <text x={LEFT - 6} y={y(tick) + 4} textAnchor="end">{short(Number(tick.toPrecision(3)))}</text>
        </g>
      ))}
      {looks.x === undefined ? rows.map((row, n) => (row[at] === null ? null : (
        <rect key={n} x={LEFT + n * step + step * 0.12} width={Math.max(1, step * 0.76)} y={Math.min(y(row[at]), y(0))} height={Math.max(1, Math.abs(y(row[at]) - y(0)))} className="factory-bar">
          <title>{`${looks.text < 0 ? n + 1 : row[looks.text]}: ${short(row[at])}`}</title>
        </rect>
      ))) : (
        <polyline fill="none" className="factory-line" points={rows.filter((row) => row[at] !== null).map((row) => `${x(row[looks.x])},${y(row[at])}`).join(' ')} />
      )}
      {looks.x === undefined
        ? rows.map((row, n) => (n % named ? null : (
            <text key={n} x={LEFT + (n + 0.5) * step} y={HIGH - LOW + 16} textAnchor="end" transform={`rotate(-25 ${LEFT + (n + 0.5) * step} ${HIGH - LOW + 16})`}>{clip(String(looks.text < 0 ? n + 1 : row[looks.text] ?? ''))}</text>
          )))
        : [xs[0], xs[Math.floor(xs.length / 2)], xs[xs.length - 1]].map((value, n) => (
            <text key={n} x={x(value)} y={HIGH - LOW + 18} textAnchor={n === 2 ? 'end' : n ? 'middle' : 'start'}>{short(value)}</text>
          ))}
      <text x={WIDE / 2} y={HIGH - 4} textAnchor="middle">{title}</text>
    </svg>
  );
}

function Sheet({ table, path }) {
  const id = useId();
  const looks = shape(table);
  const [at, setAt] = useState(looks.values[0]);
  const more = table.total - table.rows.length;
  return (
    <div className="flex flex-col gap-2">
      {looks.values.length && table.rows.length > 1 ? (
        <>
          <div className="text-sm flex items-center gap-2">
            <label htmlFor={`${id}-column`}>Plot of</label>
            <select id={`${id}-column`} className="factory-select" value={at} onChange={(event) => setAt(Number(event.target.value))}>
              {looks.values.map((one) => <option key={one} value={one}>{table.columns[one]}</option>)}
            </select>
          </div>
          <Plot table={table} at={at} looks={looks} />
        </>
      ) : null}
      <div tabIndex={0} role="region" aria-label={`Rows of ${path}`} className="factory-sheet rounded border">
        <table className="text-sm">
          <thead><tr>{table.columns.map((name, n) => <th key={n} scope="col" className={table.numbers.includes(n) ? 'factory-number' : ''}>{name}</th>)}</tr></thead>
          <tbody>
            {table.rows.map((row, n) => (
              <tr key={n}>{row.map((cell, at) => <td key={at} className={table.numbers.includes(at) ? 'factory-number' : ''}>{short(cell)}</td>)}</tr>
            ))}
          </tbody>
        </table>
      </div>
      {more > 0 ? <div className="text-sm">{more.toLocaleString('en-US')} more rows are in the file.</div> : null}
    </div>
  );
}

function File({ file }) {
  const [table, setTable] = useState(null);
  const [wrong, setWrong] = useState('');
  const [busy, setBusy] = useState(false);

  const toggle = async () => {
    if (table) return setTable(null);
    setBusy(true);
    setWrong('');
    try {
      const answer = await fetch(address('tables', file), { credentials: 'include' });
      const told = await answer.json();
      if (answer.ok) setTable(told);
      else setWrong(told.detail);
    } catch (error) {
      setWrong('The server could not be reached. Try again.');
    }
    setBusy(false);
  };

  return (
    <div className="flex flex-col gap-2" data-file={file.path}>
      <div className="flex flex-wrap items-center gap-2 text-sm">
        <Button size="sm" variant="secondary" aria-expanded={!!table} disabled={busy} onClick={toggle}>{table ? 'Hide' : 'Show'}</Button>
        <a className="factory-link" href={address('artifacts', file)} target="_blank" rel="noreferrer">{file.path}</a>
      </div>
      {wrong ? <div role="status" className="text-sm">{wrong}</div> : null}
      {table ? <Sheet table={table} path={file.path} /> : null}
    </div>
  );
}

export default function Data() {
  const id = useId();
  return (
    <Card className="factory-card factory-data p-4 flex flex-col gap-3 w-full" role="group" aria-labelledby={`${id}-title`} data-open="no">
      <h3 id={`${id}-title`} className="text-base font-semibold">Data</h3>
      {props.files.map((file) => <File key={file.path} file={file} />)}
      {props.more ? <div className="text-sm">{props.more} more are in the result.</div> : null}
    </Card>
  );
}
