import { z } from 'zod';

export const HostInfo = z.object({}).loose();
export type HostInfo = z.infer<typeof HostInfo>;

export const DoctorItem = z.object({
  id: z.string(),
  title: z.string(),
  state: z.enum(['ok', 'limited', 'missing']),
  found: z.string(),
  consequence: z.string(),
  remedy: z.string().optional(),
});
export type DoctorItem = z.infer<typeof DoctorItem>;
