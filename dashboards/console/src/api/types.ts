/** What the query service answers; the shapes come from its OpenAPI document. */

import type { components } from './schema';

type Schemas = components['schemas'];

export type Advice = Schemas['Advice'];
export type ColdStart = Schemas['ColdStart'];
export type Completeness = Schemas['Completeness'];
export type ColdStartStats = Schemas['ColdStartStats'];
export type FunctionList = Schemas['FunctionList'];
export type Gap = Schemas['Gap'];
export type Invocation = Schemas['Invocation'];
export type InvocationList = Schemas['InvocationList'];
export type Layer = Schemas['Layer'];
export type Line = Schemas['Line'];
export type Page = Schemas['Page'];
export type Phase = Schemas['Phase'];
export type PhaseStats = Schemas['PhaseStats'];
export type Status = Invocation['status'];
export type Stream = Line['stream'];
