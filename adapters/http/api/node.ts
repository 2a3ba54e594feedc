/** The one node of a gateway, by the name that clients of the API are told. */
export const NODE = 'rosettamq@localhost';
