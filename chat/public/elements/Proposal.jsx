import { Badge } from '@/components/ui/badge';
import { Button } from '@/components/ui/button';
import { Card } from '@/components/ui/card';
import { Textarea } from '@/components/ui/textarea';
import { useId, useState } from 'react';

// What a team would have done. Nothing happens until a person says so.
const TITLES = { change: 'A change is proposed', mail: 'Mail is proposed', adr: 'Keep this decision as an ADR' };
const LABELS = { change: 'Start the change', mail: 'Send the mail', adr: 'Start a run that writes it' };

export default function Proposal() {
  const id = useId();
  const [text, setText] = useState(props.text);
  const [busy, setBusy] = useState(false);
  const [wrong, setWrong] = useState('');

  const send = async () => {
    setBusy(true);
    setWrong('');
    try {
      const answer = await callAction({ name: 'propose', payload: { id: props.id, text } });
      const told = answer?.response;
      if (!told) setWrong('The server did not take it. Try again.');
      else if (!told.ok) setWrong(told.what);
    } catch (error) {
      setWrong('The server could not be reached. Nothing was done; try again.');
    }
    setBusy(false);
  };

  return (
    <Card className="factory-card p-4 flex flex-col gap-3 w-full" role="group" aria-labelledby={`${id}-title`}
      data-proposal={props.id} data-open={props.done ? 'no' : 'yes'}>
      <div className="flex flex-wrap items-center gap-2">
        <h3 id={`${id}-title`} className="text-base font-semibold">{TITLES[props.kind]}</h3>
        {props.to ? <Badge variant="secondary">to {props.to.replaceAll('_', ' ')}</Badge> : null}
        {props.project ? <Badge variant="outline">{props.project}</Badge> : null}
      </div>
      {props.done ? (
        <div role="status" className="text-sm font-semibold">✓ {props.done.what} by {props.done.by}</div>
      ) : (
        <>
          <label htmlFor={`${id}-text`} className="text-sm font-semibold">As {props.by} would have it</label>
          <Textarea id={`${id}-text`} value={text} rows={props.kind === 'adr' ? 8 : 3} maxLength={20000}
            onChange={(event) => setText(event.target.value)} />
          <div><Button size="sm" disabled={busy || !props.project} onClick={send}>{LABELS[props.kind]}</Button></div>
          {props.project ? null : <div className="text-sm">Choose a project beside the message for that.</div>}
          {wrong ? <div role="alert" className="text-sm factory-wrong">{wrong}</div> : null}
        </>
      )}
    </Card>
  );
}
