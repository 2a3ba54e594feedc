/** What ordinary clients do, act by act (RFC 6121 and the XEPs that they use most). */
import { type Play, play } from './play.ts';

export const PLAYS: readonly Play[] = [
  play(
    'subscribing both ways',
    `
alice/one: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/one: <presence/>
bob/two: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
bob/two: <presence/>
alice/one: <iq type='set' id='s1'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' name='Bob'><group>Friends</group></item></query></iq>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='bob@localhost' id='p1'/>
bob/two: <presence type='subscribed' to='alice@localhost' id='p2'/>
bob/two [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='alice@localhost'><status>me too</status></presence>
alice/one [Prosody sends presence again]: <presence type='subscribed' to='bob@localhost'/>
bob/two: <presence><show>away</show><status>lunch</status></presence>
alice/two: <presence><priority>3</priority></presence>
alice/one [the end of the presence is told (RFC 6121 3.3.3); nothing is pushed that did not change]: <presence type='unsubscribe' to='bob@localhost'/>
bob/two [the end of the presence is told (RFC 6121 3.2.3)]: <presence type='unsubscribed' to='alice@localhost'/>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='bob@localhost'/>
bob/two [the end of the presence is told (RFC 6121 3.2.3)]: <presence type='unsubscribed' to='alice@localhost'/>
alice/one [the end of the presence is told (RFC 6121 3.3.3)]: <iq type='set' id='s2'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='remove'/></query></iq>
bob/two: <iq type='get' id='r2'><query xmlns='jabber:iq:roster'/></iq>
`,
  ),
  play(
    'answers that nobody asked for',
    `
alice/one: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
bob/two: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/one: <presence/>
bob/two: <presence/>
alice/one [the push shows the approval (RFC 6121 2.1.2.1)]: <presence type='subscribed' to='bob@localhost'/>
alice/one [an approval that is taken back is pushed]: <presence type='unsubscribed' to='bob@localhost'/>
alice/one [the end of the presence is told (RFC 6121 3.3.3); nothing is pushed that did not change]: <presence type='unsubscribe' to='bob@localhost'/>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='nobody@localhost'/>
alice/one [the error comes from the address that was written to]: <presence type='subscribe' to='alice@localhost'/>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='bob@localhost'/>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='bob@localhost'/>
bob/two: <presence type='subscribed' to='alice@localhost'/>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='bob@localhost'/>
alice/one [probes are for servers (RFC 6121 4.3)]: <presence type='probe' to='bob@localhost'/>
bob/two [the end of the presence is told (RFC 6121 3.2.3)]: <iq type='set' id='s2'><query xmlns='jabber:iq:roster'><item jid='alice@localhost' subscription='remove'/></query></iq>
alice/one: <iq type='get' id='r2'><query xmlns='jabber:iq:roster'/></iq>
`,
  ),
  play(
    'subscribing to somebody who is away',
    `
alice/one: <presence/>
alice/one [Prosody answers a probe that the contact does not allow]: <presence type='subscribe' to='bob@localhost'/>
bob/two: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
bob/two: <presence/>
bob/two: <presence type='unavailable'/>
bob/two: <presence/>
bob/two [told to all that are available]: <presence type='subscribed' to='alice@localhost'/>
bob/two: gone
alice/one: <presence><show>dnd</show></presence>
`,
  ),
  play(
    'roster errors',
    `
alice/one: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/one: <iq type='set' id='a'><query xmlns='jabber:iq:roster'/></iq>
alice/one: <iq type='set' id='b'><query xmlns='jabber:iq:roster'><item jid='x@y'/><item jid='z@y'/></query></iq>
alice/one: <iq type='set' id='c'><query xmlns='jabber:iq:roster'><item/></query></iq>
alice/one [the error type of RFC 6120]: <iq type='set' id='d'><query xmlns='jabber:iq:roster'><item jid='none@localhost' subscription='remove'/></query></iq>
alice/one: <iq type='set' id='e'><query xmlns='jabber:iq:roster'><item jid='alice@localhost'/></query></iq>
alice/one: <iq type='set' id='f'><query xmlns='jabber:iq:roster'><item jid='bob@localhost' subscription='both'/></query></iq>
alice/one [forbidden (RFC 6121 2.1.5)]: <iq type='get' id='g' to='bob@localhost'><query xmlns='jabber:iq:roster'/></iq>
alice/one [a full JID stands for its account]: <iq type='set' id='h'><query xmlns='jabber:iq:roster'><item jid='bob@localhost/x' name='full'/></query></iq>
alice/one [jid-malformed (RFC 6120 8.3.3.8)]: <iq type='set' id='i'><query xmlns='jabber:iq:roster'><item jid='@'/></query></iq>
`,
  ),
  play(
    'messages to resources',
    `
alice/one: <presence/>
bob/low: <presence><priority>1</priority></presence>
bob/high: <presence><priority>5</priority></presence>
bob/neg: <presence><priority>-1</priority></presence>
alice/one: <message to='bob@localhost' type='chat' id='m1'><body>bare chat</body></message>
alice/one: <message to='bob@localhost' id='m2'><body>bare normal</body></message>
alice/one: <message to='bob@localhost' type='headline' id='m3'><body>headline</body></message>
alice/one: <message to='bob@localhost' type='groupchat' id='m4'><body>groupchat</body></message>
alice/one: <message to='bob@localhost' type='error' id='m5'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
alice/one: <message to='bob@localhost/low' type='chat' id='m6'><body>full</body></message>
alice/one: <message to='bob@localhost/neg' type='chat' id='m7'><body>full negative</body></message>
alice/one [rerouted with the address that it goes to]: <message to='bob@localhost/none' type='chat' id='m8'><body>full chat, not there</body></message>
alice/one [rerouted with the address that it goes to]: <message to='bob@localhost/none' type='normal' id='m9'><body>full normal, not there</body></message>
alice/one: <message to='bob@localhost/none' type='headline' id='m10'><body>full headline, not there</body></message>
alice/one: <message to='bob@localhost/none' type='groupchat' id='m11'><body>full groupchat, not there</body></message>
alice/one: <message to='bob@localhost/none' type='error' id='m12'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>
alice/one: <message to='nobody@localhost' type='chat' id='m13'><body>nobody</body></message>
alice/one: <message to='nobody@localhost/x' type='chat' id='m14'><body>nobody</body></message>
alice/one [the address is filled in (RFC 6120 8.1.1.1)]: <message type='chat' id='m15'><body>to myself</body></message>
alice/one [an unknown type goes out as none (RFC 6121 5.2.2)]: <message to='bob@localhost' type='strange' id='m16'><body>strange</body></message>
alice/one: <message to='localhost' id='m17'><body>to the server</body></message>
alice/one [remote-server-not-found (RFC 6120 8.3.3.16)]: <message to='elsewhere.example' id='m18'><body>to nowhere</body></message>
alice/one: <message to='bob@localhost/low' type='groupchat' id='m19'><body>groupchat to full</body></message>
`,
  ),
  play(
    'offline messages',
    `
alice/one: <presence/>
alice/one: <message to='bob@localhost' type='chat' id='o1'><body>kept</body></message>
alice/one: <message to='bob@localhost' id='o2'><subject>s</subject><body>kept too</body></message>
alice/one: <message to='bob@localhost' type='headline' id='o3'><body>headline</body></message>
alice/one: <message to='bob@localhost/gone' type='chat' id='o4'><body>to a resource</body></message>
alice/one: <message to='bob@localhost' type='chat' id='o5'><body>not kept</body><no-store xmlns='urn:xmpp:hints'/></message>
alice/one: <message to='bob@localhost' type='chat' id='o6'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>
alice/one: <message to='bob@localhost' type='groupchat' id='o7'><body>groupchat</body></message>
bob/neg: <presence><priority>-5</priority></presence>
bob/two [chat states and no-store do not wait (XEP-0160, 0334)]: <presence/>
bob/three: <presence/>
`,
  ),
  play(
    'iq',
    `
alice/one: <presence/>
bob/two: <presence/>
alice/one: <iq type='get' id='q1' to='localhost'><unknown xmlns='urn:x'/></iq>
alice/one: <iq type='get' id='q2' to='bob@localhost'><unknown xmlns='urn:x'/></iq>
alice/one: <iq type='get' id='q3' to='bob@localhost/two'><unknown xmlns='urn:x'/></iq>
bob/two: <iq type='result' id='q3' to='alice@localhost/one'><known xmlns='urn:x'/></iq>
alice/one: <iq type='get' id='q4' to='bob@localhost/none'><unknown xmlns='urn:x'/></iq>
alice/one: <iq type='get' id='q5' to='nobody@localhost'><unknown xmlns='urn:x'/></iq>
alice/one: <iq type='get' id='q6'/>
alice/one: <iq type='get' id='q7'><a xmlns='urn:x'/><b xmlns='urn:x'/></iq>
alice/one: <iq type='strange' id='q8'><a xmlns='urn:x'/></iq>
alice/one: <iq type='get' id='q9' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>
alice/one: <iq type='get' id='q10'><ping xmlns='urn:xmpp:ping'/></iq>
alice/one: <iq type='set' id='q11'><session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>
alice/one: <iq type='set' id='q12'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>again</resource></bind></iq>
alice/one: <iq type='get' id='q13' to='bob@localhost'><query xmlns='jabber:iq:last'/></iq>
alice/one: <iq type='get' id='q14' to='bob@localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>
alice/one [remote-server-not-found (RFC 6120 8.3.3.16)]: <iq type='get' id='q15' to='elsewhere.example'><ping xmlns='urn:xmpp:ping'/></iq>
alice/one: <iq type='get' id='q16' to='localhost'><query xmlns='jabber:iq:last'/></iq>
alice/one: <iq type='result' id='q17' to='localhost'/>
alice/one: <iq type='get' id='q18' to='bob@localhost'><ping xmlns='urn:xmpp:ping'/></iq>
alice/one: <iq type='get' id='q19' to='localhost/res'><ping xmlns='urn:xmpp:ping'/></iq>
`,
  ),
  play(
    'presence',
    `
alice/one: <presence/>
alice/two: <presence><priority>2</priority></presence>
bob/two: <presence/>
alice/one: <presence to='bob@localhost/two'><status>directly</status></presence>
alice/one: <presence to='bob@localhost'><status>directly, bare</status></presence>
alice/one: <presence><show>xa</show></presence>
alice/one: <presence to='nobody@localhost'/>
alice/one: <presence type='strange'/>
alice/one [bad-request (RFC 6121 4.7.2.3)]: <presence><priority>200</priority></presence>
alice/one: <presence type='unavailable'><status>bye</status></presence>
alice/two [one who left is told no more]: gone
`,
  ),
  play(
    'own storage',
    `
alice/one: <iq type='get' id='v1'><vCard xmlns='vcard-temp'/></iq>
alice/one: <iq type='set' id='v2'><vCard xmlns='vcard-temp'><FN>Alice</FN></vCard></iq>
alice/one [Prosody adds a name to the card]: <iq type='get' id='v3'><vCard xmlns='vcard-temp'/></iq>
bob/two [Prosody adds a name to the card]: <iq type='get' id='v4' to='alice@localhost'><vCard xmlns='vcard-temp'/></iq>
bob/two [as where nobody is (XEP-0054 3.3)]: <iq type='get' id='v5' to='carol@localhost'><vCard xmlns='vcard-temp'/></iq>
bob/two [forbidden (XEP-0054 3.2)]: <iq type='set' id='v6' to='alice@localhost'><vCard xmlns='vcard-temp'/></iq>
alice/one: <iq type='get' id='s1'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>
alice/one [the end of the presence is told (RFC 6121 3.3.3)]: <iq type='set' id='s2'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'><conference jid='room@rooms.localhost' name='R'/></storage></query></iq>
alice/one: <iq type='get' id='s3'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>
alice/one [forbidden (XEP-0049)]: <iq type='get' id='s4' to='bob@localhost'><query xmlns='jabber:iq:private'><storage xmlns='storage:bookmarks'/></query></iq>
alice/one [bad-request (XEP-0049 table 1)]: <iq type='get' id='s5'><query xmlns='jabber:iq:private'/></iq>
`,
  ),
  play(
    'carbons',
    `
alice/one: <presence/>
alice/two: <iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>
alice/two: <presence/>
bob/two: <presence/>
alice/one: <message to='bob@localhost' type='chat' id='x1'><body>copied</body></message>
bob/two: <message to='alice@localhost/one' type='chat' id='x2'><body>back</body></message>
bob/two [the private mark is left in]: <message to='alice@localhost/one' type='chat' id='x3'><body>private</body><private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/></message>
bob/two [normal is written as no type]: <message to='alice@localhost/one' id='x4'><body>normal</body></message>
bob/two: <message to='alice@localhost/one' type='headline' id='x5'><body>headline</body></message>
alice/two: <iq type='set' id='d'><disable xmlns='urn:xmpp:carbons:2'/></iq>
bob/two: <message to='alice@localhost/one' type='chat' id='x6'><body>uncopied</body></message>
`,
  ),
  play(
    'a room',
    `
alice/one: <presence to='room@rooms.localhost/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>
alice/one [the room always tells of a new configuration]: <iq type='set' id='c0' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>
bob/two: <presence to='room@rooms.localhost/bo'><x xmlns='http://jabber.org/protocol/muc'/></presence>
alice/one: <message to='room@rooms.localhost' type='groupchat' id='g1'><body>hello</body></message>
bob/two: <message to='room@rooms.localhost' type='groupchat' id='g2'><subject>not mine</subject></message>
alice/one: <message to='room@rooms.localhost' type='groupchat' id='g3'><subject>topic</subject></message>
bob/two: <message to='room@rooms.localhost/al' type='chat' id='g4'><body>psst</body><x xmlns='http://jabber.org/protocol/muc#user'/></message>
bob/two: <message to='room@rooms.localhost/none' type='chat' id='g5'><body>psst</body></message>
bob/two: <presence to='room@rooms.localhost/robert'/>
bob/two: <presence to='room@rooms.localhost/al'/>
bob/two: <iq type='get' id='ping' to='room@rooms.localhost/robert'><ping xmlns='urn:xmpp:ping'/></iq>
bob/two: <presence to='room@rooms.localhost/robert'><show>away</show></presence>
carol/three: <presence to='room@rooms.localhost/robert'><x xmlns='http://jabber.org/protocol/muc'/></presence>
carol/three: <message to='room@rooms.localhost' type='groupchat' id='g6'><body>from outside</body></message>
carol/three: <iq type='get' id='ping' to='room@rooms.localhost/ca'><ping xmlns='urn:xmpp:ping'/></iq>
carol/three: <presence to='room@rooms.localhost/ca'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='1'/></x></presence>
alice/one: <iq type='set' id='k1' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='ca' role='none'><reason>out</reason></item></query></iq>
alice/one: <iq type='set' id='k2' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item nick='robert' role='visitor'/></query></iq>
bob/two: <message to='room@rooms.localhost' type='groupchat' id='g7'><body>muted</body></message>
alice/one: <iq type='set' id='k3' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='bob@localhost' affiliation='outcast'/></query></iq>
bob/two: <presence to='room@rooms.localhost/bo'><x xmlns='http://jabber.org/protocol/muc'/></presence>
alice/one: <iq type='get' id='l1' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query></iq>
bob/two: <iq type='get' id='l2' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item affiliation='outcast'/></query></iq>
carol/three: <presence to='room@rooms.localhost/ca'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>
carol/three: <presence to='room@rooms.localhost/ca' type='unavailable'><status>bye</status></presence>
carol/three: <presence to='room@rooms.localhost/ca'><x xmlns='http://jabber.org/protocol/muc'><history maxchars='0'/></x></presence>
carol/three: <iq type='set' id='d0' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy/></query></iq>
alice/one [nobody has an affiliation to a room that is gone]: <iq type='set' id='d1' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><destroy jid='new@rooms.localhost'><reason>moved</reason></destroy></query></iq>
alice/one: <message to='room@rooms.localhost' type='groupchat' id='g8'><body>nobody here</body></message>
`,
  ),
  play(
    'a members-only room with a password',
    `
alice/one: <presence to='room@rooms.localhost/al'><x xmlns='http://jabber.org/protocol/muc'/></presence>
alice/one [the room tells before it answers]: <iq type='set' id='c1' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_membersonly'><value>1</value></field><field var='muc#roomconfig_passwordprotectedroom'><value>1</value></field><field var='muc#roomconfig_roomsecret'><value>open</value></field></x></query></iq>
bob/two: <presence to='room@rooms.localhost/bo'><x xmlns='http://jabber.org/protocol/muc'><password>open</password></x></presence>
bob/two: <presence/>
alice/one [Prosody adds a body, and tells of the new member]: <message to='room@rooms.localhost' id='i1'><x xmlns='http://jabber.org/protocol/muc#user'><invite to='bob@localhost'><reason>come</reason></invite></x></message>
bob/two: <presence to='room@rooms.localhost/bo'><x xmlns='http://jabber.org/protocol/muc'/></presence>
bob/two: <presence to='room@rooms.localhost/bo'><x xmlns='http://jabber.org/protocol/muc'><password>open</password></x></presence>
alice/one [Prosody shows real addresses to a new moderator at once]: <iq type='set' id='k' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='bob@localhost' affiliation='admin'/></query></iq>
bob/two: <iq type='set' id='k2' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='alice@localhost' affiliation='none'/></query></iq>
alice/one: <iq type='set' id='k3' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='alice@localhost' affiliation='none'/></query></iq>
alice/one: <iq type='set' id='k4' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='bob@localhost' affiliation='none'/></query></iq>
alice/one: gone
`,
  ),
  play(
    'a room asked about',
    `
alice/one: <iq type='get' id='a1' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>
alice/one: <message to='room@rooms.localhost' type='groupchat' id='a2'><body>nowhere</body></message>
alice/one [jid-malformed (XEP-0045 7.2.1)]: <presence to='room@rooms.localhost'><x xmlns='http://jabber.org/protocol/muc'/></presence>
alice/one: <presence to='room@rooms.localhost/al' type='unavailable'/>
alice/one [the old way to enter is taken (XEP-0045 1.34, 7.2.1)]: <presence to='room@rooms.localhost/al'/>
bob/two: <iq type='set' id='a3' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query></iq>
bob/two: <iq type='get' id='a4' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/muc#owner'/></iq>
bob/two [a room answers pings]: <iq type='get' id='a5' to='room@rooms.localhost'><ping xmlns='urn:xmpp:ping'/></iq>
bob/two [occupants of a public room are listed]: <iq type='get' id='a6' to='room@rooms.localhost'><query xmlns='http://jabber.org/protocol/disco#items'/></iq>
alice/one [no registration with rooms]: <iq type='get' id='a7' to='room@rooms.localhost'><query xmlns='jabber:iq:register'/></iq>
`,
  ),
  play(
    'blocking',
    `
alice/one: <presence/>
bob/two: <presence/>
alice/one: <iq type='get' id='b1'><blocklist xmlns='urn:xmpp:blocking'/></iq>
alice/one: <iq type='set' id='b2'><block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block></iq>
alice/one: <iq type='get' id='b3'><blocklist xmlns='urn:xmpp:blocking'/></iq>
bob/two: <message to='alice@localhost' type='chat' id='m1'><body>blocked</body></message>
bob/two [an error to a message for a full address too (XEP-0191 3.3)]: <message to='alice@localhost/one' type='chat' id='m2'><body>blocked</body></message>
bob/two: <iq type='get' id='m3' to='alice@localhost/one'><ping xmlns='urn:xmpp:ping'/></iq>
bob/two: <presence to='alice@localhost/one'/>
alice/one: <message to='bob@localhost' type='chat' id='m4'><body>to a blocked one</body></message>
alice/one: <iq type='set' id='b4'><block xmlns='urn:xmpp:blocking'/></iq>
alice/one: <iq type='set' id='b5'><unblock xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></unblock></iq>
bob/two: <message to='alice@localhost' type='chat' id='m5'><body>welcome</body></message>
alice/one: <iq type='set' id='b6'><unblock xmlns='urn:xmpp:blocking'/></iq>
`,
  ),
  play(
    'client state',
    `
alice/one: <presence/>
alice/one: <inactive xmlns='urn:xmpp:csi:0'/>
alice/one: <active xmlns='urn:xmpp:csi:0'/>
`,
  ),
  play(
    'an archive',
    `
alice/one: <presence/>
bob/two: <presence/>
alice/one: <message to='bob@localhost' type='chat' id='m1'><body>one</body></message>
bob/two: <message to='alice@localhost' type='chat' id='m2'><body>two</body></message>
alice/one [Prosody validates fields]: <iq type='get' id='f1'><query xmlns='urn:xmpp:mam:2'/></iq>
alice/one [Prosody does not count]: <iq type='set' id='f2'><query xmlns='urn:xmpp:mam:2' queryid='z'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>urn:xmpp:mam:2</value></field><field var='with'><value>carol@localhost</value></field></x></query></iq>
alice/one: <iq type='get' id='f3'><prefs xmlns='urn:xmpp:mam:2'/></iq>
alice/one [forbidden (XEP-0313 6)]: <iq type='set' id='f4' to='bob@localhost'><query xmlns='urn:xmpp:mam:2'/></iq>
`,
  ),
  play(
    'personal events',
    `
alice/one: <iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>
alice/one: <presence/>
alice/one: <iq type='set' id='n1'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/nick'><item id='current'><nick xmlns='http://jabber.org/protocol/nick'>Al</nick></item></publish></pubsub></iq>
alice/one: <iq type='get' id='n2'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='http://jabber.org/protocol/nick'/></pubsub></iq>
bob/two [not-authorized, and why (XEP-0060 6.5.9.2)]: <iq type='get' id='n3' to='alice@localhost'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='http://jabber.org/protocol/nick'/></pubsub></iq>
alice/one: <iq type='get' id='n4'><pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='none'/></pubsub></iq>
`,
  ),
];
