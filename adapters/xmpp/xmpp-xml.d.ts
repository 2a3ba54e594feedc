/** The part of `@xmpp/xml` that is used here; the package brings no types of its own. */
declare module '@xmpp/xml' {
  export interface Attributes {
    from?: string | undefined;
    to?: string | undefined;
    id?: string | undefined;
    type?: string | undefined;
    xmlns?: string | undefined;
    name?: string | undefined;
    jid?: string | undefined;
    node?: string | undefined;
    ver?: string | undefined;
    affiliation?: string | undefined;
    ask?: string | undefined;
    by?: string | undefined;
    hash?: string | undefined;
    max_items?: string | undefined;
    notify?: string | undefined;
    default?: string | undefined;
    encoding?: string | undefined;
    h?: string | undefined;
    kind?: string | undefined;
    max?: string | undefined;
    mechanism?: string | undefined;
    nick?: string | undefined;
    previd?: string | undefined;
    publisher?: string | undefined;
    queryid?: string | undefined;
    resume?: string | undefined;
    role?: string | undefined;
    since?: string | undefined;
    stamp?: string | undefined;
    subid?: string | undefined;
    subscription?: string | undefined;
    var?: string | undefined;
    version?: string | undefined;
    [name: string]: string | undefined;
  }

  export class Element {
    constructor(name: string, attributes?: Attributes);
    name: string;
    parent: Element | null;
    attrs: Attributes;
    children: (Element | string)[];
    append(...nodes: (Element | string)[]): void;
    getText(): string;
  }
}
