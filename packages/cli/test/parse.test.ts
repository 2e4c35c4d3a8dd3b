import { SkerryError } from '@skerry/api';
import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../src/commands/index.ts';
import { parseForward } from '../src/commands/vm-parameters.ts';
import { commandHelp, generalHelp, groupHelp, GROUPS, nameOf, parse } from '../src/grammar/index.ts';
import { parsePlace } from '../src/commands/copy/places.ts';

const parsed = (
  line: string[],
): { name: string; rest: readonly string[]; text: (name: string) => readonly string[] } => {
  const result = parse(line, COMMANDS);
  if (result.kind !== 'run') throw new Error(`help, not a command: ${line.join(' ')}`);
  return { name: nameOf(result.command), rest: result.args.rest, text: (name) => result.args.texts(name) };
};
const words = (line: string): string[] => line.split(/ +/);
const errorOf = (line: string): SkerryError => {
  try {
    parse(words(line), COMMANDS);
  } catch (error) {
    if (error instanceof SkerryError) return error;
    throw error;
  }
  throw new Error(`no error: ${line}`);
};

/** As the issue has them; `|` stands for alternatives, as there. */
const ISSUE = [
  'demo',
  'up examples/shop.yaml',
  'up examples/shop.yaml --dry-run',
  'node list',
  'node show shop',
  'node down shop',
  'exec shop/web -- hostname',
  'create --name web-vm --os micro --cpu 1 --memory 128Mi',
  'create --name web-vm --os micro --cpu 1 --memory 128Mi --start',
  'create web-vm micro --start',
  'run micro -- uname -a',
  'start web-vm',
  'stop web-vm',
  'restart web-vm',
  'pause web-vm',
  'resume web-vm',
  'kill web-vm',
  'delete web-vm',
  'list',
  'list -o table',
  'list -o wide',
  'list -o json',
  'list -o yaml',
  'info web-vm',
  'shell web-vm',
  'console web-vm',
  'cp ./file web-vm:/root/',
  'cp web-vm:/etc/hostname -',
  'logs web-vm',
  'logs web-vm -f',
  'wait web-vm agent --timeout 30s',
  'wait web-vm healthy --timeout 30s',
  'wait web-vm stopped --timeout 30s',
  'task list',
  'task show 01a',
  'task cancel 01a',
  'events',
  'events -f',
  'image build ./recipe.yaml',
  'image build micro',
  'image build micro --kernel distro',
  'host info',
  'host doctor',
  'daemon start',
  'daemon stop',
  'daemon status',
  'daemon logs',
  // issue 3
  'template list',
  'template show 3f2a9c0d11e45b67',
  'template build',
  'template build micro --cpus 2 --memory 256Mi --nics 2',
  'template delete 3f2a 9c0d',
  'template prune',
  'template prune --unused-for 1h',
  'template policy micro never',
  'create --name a --os micro --start',
  'create --name a --os micro --start --cold',
  'run micro --cold -- true',
  'fork web-vm web-2',
  'fork web-vm web-2 --count 10',
  'node fork shop shop-b',
  'node save shop before-upgrade',
  'node restore shop before-upgrade',
  'node saves shop',
  'node delete-save shop before-upgrade',
  'suspend web-vm api',
  'start web-vm --discard-memory',
  'pool set micro --size 5',
  'pool set micro --size 5 --cpus 2 --memory 256Mi',
  'pool list',
  'top',
  'top --once',
  // issue 4
  'create job micro --restart on-failure:5 --stop-grace-period 30s --autostart on',
  'autostart web-vm on',
  'autostart web-vm shop off',
  'stop web-vm --force',
  'top --interval 2s',
];

describe('every command line that the issue shows', () => {
  test.each(ISSUE)('skerry %s', (line) => {
    expect(line.startsWith(parsed(words(line)).name.replace(/^down$/, 'node down'))).toBe(true);
  });

  test('passes the guest its command as it is', () => {
    expect(parsed(['exec', 'web-vm', '--', 'sh', '-c', 'echo hi >&2; exit 3']).rest).toEqual([
      'sh',
      '-c',
      'echo hi >&2; exit 3',
    ]);
    expect(parsed(words('run micro -- uname -a')).rest).toEqual(['uname', '-a']);
    expect(parsed(words('run micro uname -a --help')).rest).toEqual(['uname', '-a', '--help']);
  });
});

describe('one parameter, two spellings', () => {
  test.each([
    'create web-vm micro --cpu 2',
    'create --name web-vm --os micro --cpus 2',
    'create --name=web-vm --image=micro --cpu=2',
    'vm create --os micro web-vm --cpu 2',
    'create web-vm --name web-vm --os micro --image micro --cpu 2 --cpus 2',
  ])('%s', (line) => {
    const { name, text } = parsed(words(line));
    expect(name).toBe('create');
    expect([text('name'), text('image'), text('cpu')]).toEqual([['web-vm'], ['micro'], ['2']]);
  });

  test.each(['create a --name b', 'create a micro --os other', 'create a --cpu 1 --cpus 2', 'list -o json -o yaml'])(
    'both, and different: %s',
    (line) => {
      expect(errorOf(line)).toMatchObject({ code: 'invalid', exitCode: 2 });
      expect(errorOf(line).message).toContain('is given twice');
    },
  );
});

describe('targets and options', () => {
  test('several targets', () => {
    expect(parsed(words('stop a b shop/c')).text('vm')).toEqual(['a', 'b', 'shop/c']);
    expect(parsed(words('cp a b vm:/root/')).text('source')).toEqual(['a', 'b']);
    expect(parsed(words('cp a b vm:/root/')).text('target')).toEqual(['vm:/root/']);
  });

  test('global options stand anywhere', () => {
    for (const line of ['--host /x list', 'list --host /x', 'list --host=/x', '-o json list --host /x']) {
      expect(parsed(words(line)).text('host')).toEqual(['/x']);
    }
  });

  test('short options alone, with a value attached, and together', () => {
    expect(parsed(['list', '-ojson']).text('output')).toEqual(['json']);
    const exec = parsed(words('exec -it web -- sh'));
    expect([exec.text('interactive'), exec.text('tty')]).toEqual([['true'], ['true']]);
  });

  test('options that may come several times, flags that are taken back', () => {
    expect(parsed(words('create a --env A=1 --env B=2')).text('env')).toEqual(['A=1', 'B=2']);
    expect(parsed(words('create a --no-start')).text('start')).toEqual(['false']);
    expect(parsed(words('start a --no-wait')).text('no-wait')).toEqual(['true']);
  });
});

describe('mistakes', () => {
  test.each([
    ['strat web', 'skerry start'],
    ['node lst', 'skerry node list'],
    ['lsit', 'skerry list'],
    ['launch', 'create NAME IMAGE --start'],
    ['undefine web', 'skerry delete'],
    ['shutdown web', 'skerry stop'],
    ['reboot web', 'skerry restart'],
    ['dominfo web', 'skerry info'],
    ['transfer a b', 'skerry cp'],
    ['vm.power web', 'skerry start, stop or kill'],
    ['ps', 'skerry list'],
    ['destroy web', 'power off: kill; remove: delete'],
    ['vm destroy web', 'power off: kill; remove: delete'],
    ['qqqqqq', 'skerry help'],
    ['create a --memroy 1G', '--memory'],
    ['list -o xml', 'table, wide, json or yaml'],
    ['create a --memory', '--memory=SIZE'],
    ['create a --memory --start', '--memory=SIZE'],
    ['create', 'For example: skerry create'],
    ['exec web', 'For example: skerry exec'],
    ['exec web --', 'For example: skerry exec'],
    ['wait web asleep', 'agent, healthy or stopped'],
    ['list extra', 'skerry list --help'],
    ['create a --start=yes', '--start'],
  ])('skerry %s', (line, remedy) => {
    const error = errorOf(line);
    expect(error).toMatchObject({ code: 'invalid', exitCode: 2 });
    expect(error.remedy).toContain(remedy);
  });

  test('no verb of ours is one of the others, so no one is sent in a circle', () => {
    for (const command of COMMANDS.filter(({ group }) => group === 'vm'))
      expect(parse([command.verb, '--help'], COMMANDS).kind).toBe('help');
  });
});

describe('help', () => {
  test.each(COMMANDS.map((command) => [nameOf(command), command] as const))(
    '%s has an example that it understands',
    (name, command) => {
      expect(parse([...words(name), '--help'], COMMANDS)).toEqual({ kind: 'help', command });
      expect(parse(['help', ...words(name)], COMMANDS)).toEqual({ kind: 'help', command });
      const help = commandHelp(command);
      expect(help).toContain('Usage:\n  skerry ');
      for (const example of command.examples) {
        expect(help).toContain(example);
        // The part that a shell gives us: after a pipe, before a redirection or another pipe, quotes taken off.
        const line = example.slice(example.indexOf('skerry ') + 7).replace(/ [<>|] .*/, '');
        const argv = [...line.matchAll(/'([^']*)'|\S+/g)].map((match) => match[1] ?? match[0]);
        expect(parsed(argv).name).toBe(nameOf(command));
      }
    },
  );

  test('of a group and of all', () => {
    for (const group of Object.keys(GROUPS)) {
      expect(parse([group], COMMANDS)).toEqual({ kind: 'help', group });
      expect(parse([group, '--help'], COMMANDS)).toEqual({ kind: 'help', group });
      expect(groupHelp(group, COMMANDS)).toContain('Example:');
    }
    for (const line of [[], ['help'], ['--help'], ['-h']]) expect(parse(line, COMMANDS)).toEqual({ kind: 'help' });
    for (const command of COMMANDS) expect(generalHelp(COMMANDS)).toContain(`  ${nameOf(command)} `);
  });

  test('reads as it does', () => {
    const wait = COMMANDS.find(({ verb }) => verb === 'wait');
    expect(wait && commandHelp(wait).split('\n\nOptions of every command:')[0]).toMatchInlineSnapshot(`
      "Wait until a VM is so; default --timeout: 30s.

      Usage:
        skerry wait VM CONDITION

      Arguments:
        VM  (--vm)                its name, NODE/NAME or id
        CONDITION  (--condition)  agent, healthy or stopped"
    `);
  });
});

describe('words with a meaning', () => {
  test('ports', () => {
    expect(parseForward('8080:80')).toEqual({ hostPort: 8080, guestPort: 80 });
    expect(parseForward('0.0.0.0:8080:80')).toEqual({ hostAddress: '0.0.0.0', hostPort: 8080, guestPort: 80 });
    expect(parseForward('[::1]:8080:80')).toEqual({ hostAddress: '::1', hostPort: 8080, guestPort: 80 });
    for (const bad of ['80', '0:80', '80:70000', 'x:80', '8080:80:90:1'])
      expect(() => parseForward(bad)).toThrow('no pair of ports');
  });

  test('places of a copy', () => {
    expect(parsePlace('-')).toEqual({ kind: 'stream' });
    expect(parsePlace('web-vm:/root/')).toEqual({ kind: 'guest', vm: 'web-vm', path: '/root/' });
    expect(parsePlace('shop/web:/a:b')).toEqual({ kind: 'guest', vm: 'shop/web', path: '/a:b' });
    for (const here of ['./a:b', '/tmp/x', 'file', './web', '../a/b:c', 'a/b/c:d'])
      expect(parsePlace(here)).toEqual({ kind: 'local', path: here });
    expect(() => parsePlace('web:file')).toThrow('no absolute path');
  });
});
