/* modes: the terminal modes that a client asks for, as its own terminal has them. */
#include "monitor.h"

#include <termios.h>
#include <unistd.h>

enum { TTY_OP_END = 0, OPS_WITH_ARGUMENT_MAX = 159 };

enum field { CHARACTER, INPUT, LOCAL, OUTPUT, CONTROL_BITS };

/* Source: RFC 4254, 8; IUTF8: RFC 8160 */
static const struct {
    uint8_t op;
    enum field field;
    tcflag_t what; /* an index of c_cc, or bits */
} modes_known[] = {
    {1, CHARACTER, VINTR},      {2, CHARACTER, VQUIT},     {3, CHARACTER, VERASE},
    {4, CHARACTER, VKILL},      {5, CHARACTER, VEOF},      {6, CHARACTER, VEOL},
    {7, CHARACTER, VEOL2},      {8, CHARACTER, VSTART},    {9, CHARACTER, VSTOP},
    {10, CHARACTER, VSUSP},     {12, CHARACTER, VREPRINT}, {13, CHARACTER, VWERASE},
    {14, CHARACTER, VLNEXT},    {18, CHARACTER, VDISCARD}, {30, INPUT, IGNPAR},
    {31, INPUT, PARMRK},        {32, INPUT, INPCK},        {33, INPUT, ISTRIP},
    {34, INPUT, INLCR},         {35, INPUT, IGNCR},        {36, INPUT, ICRNL},
    {37, INPUT, IUCLC},         {38, INPUT, IXON},         {39, INPUT, IXANY},
    {40, INPUT, IXOFF},         {41, INPUT, IMAXBEL},      {42, INPUT, IUTF8},
    {50, LOCAL, ISIG},          {51, LOCAL, ICANON},       {52, LOCAL, XCASE},
    {53, LOCAL, ECHO},          {54, LOCAL, ECHOE},        {55, LOCAL, ECHOK},
    {56, LOCAL, ECHONL},        {57, LOCAL, NOFLSH},       {58, LOCAL, TOSTOP},
    {59, LOCAL, IEXTEN},        {60, LOCAL, ECHOCTL},      {61, LOCAL, ECHOKE},
    {62, LOCAL, PENDIN},        {70, OUTPUT, OPOST},       {71, OUTPUT, OLCUC},
    {72, OUTPUT, ONLCR},        {73, OUTPUT, OCRNL},       {74, OUTPUT, ONOCR},
    {75, OUTPUT, ONLRET},       {91, CONTROL_BITS, CS8},   {92, CONTROL_BITS, PARENB},
    {93, CONTROL_BITS, PARODD},
};

#define CHARACTER_OFF 255u /* "no such character", on the wire */

static void set_bits(tcflag_t *flags, tcflag_t bits, bool on)
{
    *flags = on ? *flags | bits : *flags & ~bits;
}

static void set_one(struct termios *t, size_t i, uint32_t value)
{
    tcflag_t what = modes_known[i].what;
    switch (modes_known[i].field) {
    case CHARACTER:
        t->c_cc[what] = value == CHARACTER_OFF ? _POSIX_VDISABLE : (cc_t)value;
        break;
    case INPUT:
        set_bits(&t->c_iflag, what, value);
        break;
    case LOCAL:
        set_bits(&t->c_lflag, what, value);
        break;
    case OUTPUT:
        set_bits(&t->c_oflag, what, value);
        break;
    case CONTROL_BITS:
        set_bits(&t->c_cflag, what, value);
        break;
    }
}

void rl_modes_apply(int terminal, struct rl_span modes)
{
    struct termios t;
    struct rl_cursor c = rl_cursor_of(modes);
    if (modes.n == 0 || tcgetattr(terminal, &t) != 0)
        return;
    for (;;) {
        uint8_t op = rl_cursor_u8(&c);
        if (c.failed || op == TTY_OP_END || op > OPS_WITH_ARGUMENT_MAX)
            break; /* what follows an unknown kind cannot be read */
        uint32_t value = rl_cursor_u32(&c);
        if (c.failed)
            break;
        for (size_t i = 0; i < RL_COUNT(modes_known); i++)
            if (modes_known[i].op == op)
                set_one(&t, i, value);
    }
    tcsetattr(terminal, TCSANOW, &t);
}
