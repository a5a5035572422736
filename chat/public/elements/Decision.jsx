import { Badge } from '@/components/ui/badge';
import { Button } from '@/components/ui/button';
import { Card } from '@/components/ui/card';
import { Textarea } from '@/components/ui/textarea';
import { useAuth } from '@chainlit/react-client';
import { useEffect, useId, useRef, useState } from 'react';

// One question to a person. The server decides who may and who was first; this only shows it and asks.
const WORDS = ['clarification', 'escalation', 'review'];
const ROLES = { director: ['answer', 'approve'], operator: ['answer'] };
const DONE = {
  approve: ['✓', 'Approved'],
  edit: ['✓', 'Approved with changes'],
  respond: ['✎', 'Answered'],
  reject: ['✗', 'Rejected'],
  expired: ['⏲', 'Expired']
};
const EFFECT = {
  approve: {
    review: 'the result is merged into main and tagged',
    budget: 'the budget is extended by that amount',
    escalation: 'the work is taken as it is',
    default: 'the run goes on as proposed'
  },
  respond: {
    review: 'the run goes round again with your comment',
    clarification: 'the team goes on with your answer',
    escalation: 'the team tries again with your guidance',
    default: 'the run goes on with your words'
  },
  edit: { default: 'approved, with your text in place of the proposed one' },
  reject: { review: 'the run ends; nothing reaches main', default: 'final: the run does not do this' }
};

const effect = (decision, kind) => EFFECT[decision][kind] || EFFECT[decision].default;
const when = (at) => (at ? new Date(at).toLocaleString() : '');
const may = (role, decision, kind) =>
  (ROLES[role] || []).includes(decision === 'respond' && WORDS.includes(kind) ? 'answer' : 'approve');

function List({ title, items }) {
  if (!items?.length) return null;
  return (
    <div>
      <h4 className="text-sm font-semibold">{title}</h4>
      {items.map((item, at) => (
        <div key={at} className="text-sm whitespace-pre-wrap break-words">{item}</div>
      ))}
    </div>
  );
}

function Stat({ items }) {
  if (!items?.length) return null;
  const lines = items.join('\n').trimEnd().split('\n');
  return (
    <details className="text-sm" open={lines.length < 8}>
      <summary className="cursor-pointer font-semibold">Impact: {lines[lines.length - 1].trim()}</summary>
      <pre tabIndex={0} aria-label="Impact" className="factory-diff text-xs overflow-auto rounded border p-2 mt-2">{lines.join('\n')}</pre>
    </details>
  );
}

function Diff({ text }) {
  if (!text) return null;
  const look = (line) =>
    /^(\+\+\+|---) /.test(line) ? 'factory-file' : line.startsWith('+') ? 'factory-added' : line.startsWith('-') ? 'factory-removed' : '';
  return (
    <details className="text-sm">
      <summary className="cursor-pointer font-semibold">The change, line by line</summary>
      <pre tabIndex={0} aria-label="The change" className="factory-diff text-xs overflow-auto rounded border p-2 mt-2">
        {text.split('\n').map((line, at) => (
          <div key={at} className={look(line)}>{line || ' '}</div>
        ))}
      </pre>
    </details>
  );
}

function Decided({ decided }) {
  const [icon, word] = DONE[decided.decision] || ['·', decided.decision];
  return (
    <div role="status" className="factory-decided text-sm font-semibold" data-decision={decided.decision}>
      {icon} {word} by {decided.by}
      {decided.at ? <span className="font-normal"> · {when(decided.at)}</span> : null}
      {decided.answer ? <div className="font-normal whitespace-pre-wrap break-words">“{decided.answer}”</div> : null}
    </div>
  );
}

// The first open card is what the run waits for: it is brought into view, unless somebody is writing.
function useInView(open) {
  const mark = useRef(null);
  useEffect(() => {
    if (!open) return;
    const show = () => {
      const card = mark.current?.closest('[data-approval]');
      const busy = document.activeElement?.matches('textarea, [contenteditable="true"]') && document.activeElement.textContent;
      if (!card || busy || card !== document.querySelector('[data-approval][data-open="yes"]')) return;
      card.scrollIntoView({ block: card.offsetHeight > window.innerHeight * 0.6 ? 'start' : 'center' });
    };
    show();
    const again = setTimeout(show, 400); // the page scrolls by itself when a conversation comes
    return () => clearTimeout(again);
  }, [open]);
  return mark;
}

export default function Decision() {
  const { user } = useAuth();
  const id = useId();
  const [text, setText] = useState(props.default_answer || '');
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState('');
  const mark = useInView(!props.decided);
  const role = user?.metadata?.role || '';
  const allowed = props.allowed || [];
  const wordy = allowed.some((one) => one !== 'approve');

  const send = async (decision) => {
    const words = text.trim();
    if (!words && decision !== 'approve') {
      setWrong(decision === 'reject' ? 'Say why you reject it.' : 'Write your answer first.');
      return;
    }
    setBusy(true);
    setWrong('');
    try {
      const answer = await callAction({
        name: 'decide',
        payload: { approval_id: props.approval_id, decision, text: words }
      });
      const told = answer?.response;
      if (!told) setWrong('The server did not take it. Is it there? Try again.');
      else if (!told.ok) setWrong(told.what);
    } catch (error) {
      setWrong('The server could not be reached. Nothing was decided; try again.');
    }
    setBusy(false);
  };

  const labels = { approve: 'Approve', respond: 'Send answer', edit: 'Approve with my text', reject: 'Reject' };
  const looks = { approve: 'default', respond: allowed.includes('approve') ? 'secondary' : 'default', edit: 'secondary', reject: 'destructive' };

  return (
    <Card className="factory-card p-4 flex flex-col gap-3 w-full" role="group" aria-labelledby={`${id}-title`}
      data-approval={props.approval_id} data-open={props.decided ? 'no' : 'yes'}>
      <div ref={mark} className="flex flex-wrap items-center gap-2">
        <h3 id={`${id}-title`} className="text-base font-semibold">{props.decided ? 'Decided' : 'Your decision'}<span className="sr-only">: {props.title}</span></h3>
        <Badge variant="secondary">{props.kind}</Badge>
        {props.risk ? <Badge variant="outline">risk {props.risk.toLowerCase()}</Badge> : null}
        {props.team ? <Badge variant="outline">{props.team.replaceAll('_', ' ')}</Badge> : null}
      </div>
      <div className="text-sm whitespace-pre-wrap break-words">{props.question}</div>
      <List title="Why" items={props.reasons} />
      <Stat items={props.impact} />
      <List title="Alternatives" items={props.alternatives} />
      <Diff text={props.diff} />
      {props.decided ? (
        <Decided decided={props.decided} />
      ) : (
        <>
          {props.expires_at ? <div className="text-sm">Decide before <b>{when(props.expires_at)}</b>; after that it expires.</div> : null}
          <ul className="text-sm factory-list">
            {allowed.map((one) => <li key={one}><b>{labels[one] || one}</b>: {effect(one, props.kind)}</li>)}
          </ul>
          {wordy ? (
            <div>
              <label htmlFor={`${id}-text`} className="text-sm font-semibold">Your words</label>
              <Textarea id={`${id}-text`} value={text} rows={3} maxLength={100000}
                onChange={(event) => setText(event.target.value)}
                placeholder={allowed.includes('respond') ? 'An answer, a comment, or a reason' : 'A reason'} />
            </div>
          ) : null}
          <div className="flex flex-wrap gap-2">
            {allowed.map((one) => (
              <Button key={one} size="sm" variant={looks[one] || 'secondary'} disabled={busy || !may(role, one, props.kind)}
                onClick={() => send(one)}>{labels[one] || one}</Button>
            ))}
          </div>
          {allowed.some((one) => !may(role, one, props.kind)) ? (
            <div className="text-sm">Your role{role ? ` (${role})` : ''} may not do all of this.</div>
          ) : null}
          {wrong ? <div role="alert" className="text-sm factory-wrong">{wrong}</div> : null}
        </>
      )}
    </Card>
  );
}
