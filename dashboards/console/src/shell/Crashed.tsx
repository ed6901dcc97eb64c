import { Component, type ReactNode } from 'react';
import { Message } from './Message';

/** Shows what went wrong instead of an empty page when a view fails to draw. */
export class Crashed extends Component<{ children: ReactNode }, { error?: Error }> {
  override state: { error?: Error } = {};

  static getDerivedStateFromError(error: unknown) {
    return { error: error instanceof Error ? error : new Error(String(error)) };
  }

  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <Message tone="error" title="The console failed to draw this page" action={<a href={location.href}>Load it again</a>}>
        {error.message}. If it stays, the console and the query service may be of different versions: compare with <code>coldscope version</code>.
      </Message>
    );
  }
}
